# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each format that microvm-build writes, started with our own default kernel, which has
every file system and compression of them, and a command run in it by the agent."""
import os
import shutil
import subprocess

import pytest

import guests

BUILDER = os.path.join(guests.BUILD, "cli", "microvm-build")
INIT = os.path.join(guests.BUILD, "guest", "microvm-init")
COMMAND = "cat /etc/hello; stat -c %a:%u /bin/busybox; touch /new && ls /new"
SAID = "from the image\n755:0\n/new\n"


def have(*files):
    for file in files:
        if not os.path.exists(file):
            pytest.skip("%s is not there" % file)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    have("/bin/busybox", BUILDER, INIT)
    root = tmp_path_factory.mktemp("images") / "root"
    for folder in ("bin", "etc"):
        (root / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin/busybox")
    for name in ("sh", "cat", "stat", "touch", "ls"):
        os.symlink("busybox", root / "bin" / name)
    (root / "etc/hello").write_text("from the image\n")
    return root


@pytest.fixture(scope="module")
def build(root):
    def build(path, format, *args):
        r = subprocess.run([BUILDER, "-q", "--base", "dir:%s" % root, "--format", format, "-o", str(path), *args],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if b"not supported in this build" in r.stdout:
            pytest.skip("microvm-build has no image builder (meson option image)")
        assert r.returncode == 0, r.stdout
        return str(path)
    return build


@pytest.fixture(scope="module")
def run(named, root):
    """Runs COMMAND in a machine of what is named; checks what it says."""
    guest = named("default")
    folder = str(root.parent)

    def run(*image):
        # kvmbox's shared folders have no files without names: what is made there is lost.
        cache = "/var/tmp/images" if guest.bed.name == "kvmbox" else folder
        env = ["env", "XDG_RUNTIME_DIR=" + folder, "XDG_CACHE_HOME=" + cache]
        argv = [guests.MICROVM, "run", "--timeout", "120s", "--kernel", guest.kernel.vmlinux, "--net", "none",
                "-m", "256", *image, "--", "sh", "-c", COMMAND]
        r = guest.bed.run(env + argv, 30, folder)
        assert (r.status, r.text) == (0, SAID), r
    return run


@pytest.mark.parametrize("format, compress", [
    ("squashfs", "zstd"), ("squashfs", "gzip"), ("squashfs", "xz"), ("squashfs", "lz4"), ("ext4", "none")])
def test_a_file_system(run, build, tmp_path_factory, root, format, compress):
    run(build(root.parent / (format + compress), format, "--compress", compress))


@pytest.mark.parametrize("compress", ["lz4", "none"])
def test_erofs(run, build, root, monkeypatch, compress):
    tool = subprocess.run([os.path.join(guests.ROOT, "tools", "erofs.sh")], stdout=subprocess.PIPE)
    if tool.returncode:
        pytest.skip("no mkfs.erofs of 1.7 or later: tools/erofs.sh")
    monkeypatch.setenv("MICROVM_MKFS_EROFS", os.path.join(tool.stdout.decode().strip(), "mkfs.erofs"))
    image = build(root.parent / ("erofs" + compress), "erofs", "--compress", compress)
    with open(image, "rb") as f:
        assert f.read(1028)[1024:] == b"\xe2\xe1\xf5\xe0"  # it is one
    run(image)


@pytest.mark.parametrize("compress", ["gzip", "zstd", "none"])
def test_an_initial_ram_disk(run, build, root, compress):
    """Which has its own /init: ours, with the agent in it."""
    run("--initrd", build(root.parent / ("initramfs" + compress), "initramfs", "--compress", compress,
                          "--add-file", INIT + ":/init:0755"))


def test_a_folder(run, build, root):
    run(build(root.parent / "dir", "dir"))


@pytest.mark.parametrize("compress", ["none", "zstd"])
def test_an_archive(run, build, root, compress):
    run(build(root.parent / ("tar" + compress), "tar", "--compress", compress))
