# SPDX-License-Identifier: MIT OR Apache-2.0
"""Disks: contents equal on both sides, read-only enforced, root file systems."""
import hashlib
import subprocess

import pytest

import guests


def digest(path):
    h = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            h.update(block)
    return h.hexdigest()


def mixed(guest, tmp_path, mib, size_mib, option="", how=""):
    """The guest's mixed I/O, then the same on the host: equal files."""
    disk = guests.sparse_file(tmp_path / "disk", size_mib)
    twin = guests.sparse_file(tmp_path / "twin", size_mib)
    r = guest.run("disk=/dev/vda,42,%d%s %s" % (mib, how, guest.kernel.end),
                  "--disk", disk + option, share=tmp_path, timeout=60)
    assert r.status == 0, r
    host = subprocess.run([guests.DISKMIX_HOST, twin, "42", str(mib)], check=True,
                          stdout=subprocess.PIPE)
    assert r.said("disk") == host.stdout.decode().strip(), r
    assert r.said("disk").endswith("wrong 0"), r
    assert digest(disk) == digest(twin)


@pytest.mark.parametrize("how", ["", ",direct"])
def test_mixed_io(quick, tmp_path, how):
    """Through the guest's page cache, and past it."""
    mixed(quick, tmp_path, 8 if quick.slow else 256, 16 if quick.slow else 128, how=how)


def test_mixed_io_past_the_hosts_cache(quick, tmp_path):
    mixed(quick, tmp_path, 4 if quick.slow else 64, 32, option=",direct", how=",direct")


def test_mixed_io_smp(machine, tmp_path):
    mixed(machine, tmp_path, 8 if machine.slow else 256, 16)


def test_several_disks_in_order(quick, tmp_path):
    sizes = [8, 16, 24]
    disks = [guests.sparse_file(tmp_path / str(n), n) for n in sizes]
    commands = " ".join("disk=/dev/vd%s,%d,1" % (c, n) for c, n in zip("abc", sizes))
    options = [w for d in disks for w in ("--disk", d)]
    r = quick.run(commands + " " + quick.kernel.end, *options, share=tmp_path)
    assert r.status == 0, r
    for disk, n in zip(disks, sizes):
        twin = guests.sparse_file(tmp_path / "twin", n)
        subprocess.run([guests.DISKMIX_HOST, twin, str(n), "1"], check=True,
                       stdout=subprocess.DEVNULL)
        assert digest(disk) == digest(twin), r


def test_read_only(quick, tmp_path):
    disk = guests.sparse_file(tmp_path / "disk", 4)
    before = digest(disk)
    r = quick.run("readonly=/dev/vda readonly=/dev/vdb " + quick.kernel.end,
                  "--disk", disk + ",ro", "--disk",
                  guests.sparse_file(tmp_path / "other", 4), share=tmp_path)
    assert r.status == 0, r
    said = [t.strip() for t in r.text.splitlines() if t.startswith("MV readonly")]
    assert said == ["MV readonly flag 1 wrote 0", "MV readonly flag 0 wrote 1"], r
    assert digest(disk) == before


SCRIPT = b"echo $((6*7))\ncat /proc/mounts\necho written >/root-test && echo ok\nexit 5\n"


def check_shell(r, kind, writes):
    assert r.status == 0, r
    lines = [t.strip() for t in r.text.splitlines()]
    assert "42" in lines, r
    assert any(t.split()[1:3] == ["/", kind] for t in lines if t.startswith("/dev/")), r
    assert ("ok" in lines) == writes, r
    assert r.said("shell exit") == "5", r


@pytest.mark.parametrize("kind", ["ext4", "squashfs"])
def test_root_file_system_to_a_shell(quick, tmp_path, kind):
    """The kernel mounts it by itself: --rootfs, no initrd."""
    image = guests.root_image(kind, tmp_path)
    if quick.kernel.name.startswith("debian"):
        pytest.skip("stock kernels have virtio_blk as a module: see the next test")
    r = quick.run("shell " + quick.kernel.end, "--rootfs",
                  image + (",ro" if kind == "squashfs" else ""), "-i", initrd=False,
                  share=tmp_path, give=SCRIPT, cmdline="quiet rootfstype=" + kind)
    check_shell(r, kind, kind == "ext4")


@pytest.mark.parametrize("kind", ["ext4", "squashfs"])
def test_root_file_system_of_a_stock_kernel(debian, tmp_path, kind):
    """Stock kernels find the disk with the modules of their initramfs."""
    image = guests.root_image(kind, tmp_path)
    mount = "mount=%s:/dev/vda%s" % (kind, ":rw" if kind == "ext4" else "")
    r = debian.run(mount + " shell poweroff", "--disk", image, "-i", share=tmp_path,
                   give=SCRIPT)
    check_shell(r, kind, kind == "ext4")
