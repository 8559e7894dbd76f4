# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm-init under a distribution's kernel: /modules is loaded in its order, so that devices are there when they are
looked for; what cannot be loaded is said, and hinders nothing else."""
import os
import subprocess

import pytest

import guests

INIT = os.path.join(guests.BUILD, "guest", "microvm-init")
LOOK = "cut -d' ' -f1 /proc/modules; ls -1 /dev/vsock /dev/net/tun\n"


def initrd(kernel, path, *words):
    """busybox, microvm-init, and among the modules one that is none, and a pipe, which would wait for its writer."""
    if not os.path.exists(INIT):
        pytest.skip("microvm-init is not in this build")
    for name, data in (("bad.ko", "no module\n"), ("readme", "not looked at\n"), ("look", LOOK)):
        (path.parent / name).write_text(data)
    subprocess.run([os.path.join(guests.ROOT, "tools", "guest-initramfs.py"), "-o", path, "--init", INIT, "--busybox",
                    "--kernel-dir", kernel.directory, *words, "modules/00-bad.ko=%s/bad.ko" % path.parent,
                    "modules/readme=%s/readme" % path.parent,
                    "look=%s/look" % path.parent], check=True)
    (path.parent / "more" / "modules").mkdir(parents=True)
    os.mkfifo(path.parent / "more" / "modules" / "00-a-pipe.ko")
    with open(path, "ab") as f:
        subprocess.run(["cpio", "-o", "-H", "newc", "--quiet"], input=b"modules/00-a-pipe.ko\n", stdout=f, check=True,
                       cwd=path.parent / "more")
    return str(path)


def look(guest, file):
    return guest.bed.run([guests.MICROVM, "run", "-q", "--kernel", guest.kernel.file, "--initrd", file, "--vsock", "cid=5",
                          "--cmdline", "quiet -- sh /look"], 30, os.path.dirname(file))


def test_a_stock_kernel(debian, tmp_path):
    file = initrd(debian.kernel, tmp_path / "i.cpio", "--modules", "virtio_pci,virtio_net,vmw_vsock_virtio_transport,tun,wireguard")
    r = look(debian, file)
    for name in ("00-a-pipe.ko", "00-bad.ko"):
        assert "microvm-init: /modules/%s: it is no module of this kernel" % name in r.text, r
    assert "readme" not in r.text, r
    for name in ("virtio_net", "vmw_vsock_virtio_transport", "tun", "wireguard"):
        assert "\n%s\n" % name in r.text, r
    assert "/dev/vsock\n" in r.text and "/dev/net/tun\n" in r.text, r


def test_a_kernel_without_modules(quick, tmp_path):
    """It is said once, not for each."""
    if quick.kernel.name != "ring3":
        pytest.skip("only ring3 loads none")
    (tmp_path / "another.ko").write_text("x")
    r = look(quick, initrd(quick.kernel, tmp_path / "i.cpio", "modules/01-x.ko=%s/another.ko" % tmp_path))
    assert r.text.count("this kernel loads no modules") == 1 and "00-bad.ko" in r.text, r
    assert "00-a-pipe.ko: it is no module" in r.text, r
    assert "/dev/vsock\n" in r.text, r
