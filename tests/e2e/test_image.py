# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm-build: images of every format, read by programs that are not ours, built twice, and booted."""
import hashlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

FORMATS = ["initramfs", "squashfs", "ext4", "tar"]
HELLO = b"hello from the image\n"


def have(*programs):
    missing = [p for p in programs if not shutil.which(p)]
    if missing:
        pytest.skip("not installed: " + " ".join(missing))


@pytest.fixture(scope="module")
def build(microvm_build):
    if "not supported in this build" in microvm_build("image", "--base", "scratch").stderr.decode():
        pytest.skip("microvm-build has no image builder (meson option image)")
    return microvm_build


def tar_of(path, entries):
    """entries: name -> TarInfo fields, with `data` for a file's content."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, fields in entries:
            fields = dict(fields)
            data = fields.pop("data", b"")
            info = tarfile.TarInfo(name)
            info.mtime = 1234567890
            info.size = len(data)
            for key, value in fields.items():
                setattr(info, key, value)
            tar.addfile(info, io.BytesIO(data))
    return path


NOISE = hashlib.sha512(b"seed").digest() * 20000  # 1.28 MB
TREE = [
    (".", dict(type=tarfile.DIRTYPE, mode=0o755)),
    ("bin", dict(type=tarfile.DIRTYPE, mode=0o755)),
    ("bin/tool", dict(data=NOISE, mode=0o4755, uid=1000, gid=70000)),
    ("bin/again", dict(type=tarfile.LNKTYPE, linkname="bin/tool")),
    ("etc/hello", dict(data=HELLO, mode=0o640, pax_headers={"SCHILY.xattr.user.note": "kept"})),
    ("etc/link", dict(type=tarfile.SYMTYPE, linkname="hello")),
    ("etc/far", dict(type=tarfile.SYMTYPE, linkname="/" + "x" * 200)),
    ("etc/empty", dict(mode=0o600)),
    ("dev/null", dict(type=tarfile.CHRTYPE, mode=0o666, devmajor=1, devminor=3)),
    ("run/pipe", dict(type=tarfile.FIFOTYPE, mode=0o600)),
    ("tmp", dict(type=tarfile.DIRTYPE, mode=0o1777, uid=3)),
    ("zeros", dict(data=b"\0" * 3000000 + b"end", mode=0o644)),
]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return tar_of(tmp_path_factory.mktemp("tree") / "tree.tar", TREE)


def run(*args, **kw):
    return subprocess.run(list(map(str, args)), check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60, **kw).stdout


@pytest.fixture(scope="module")
def image(build, tree, tmp_path_factory):
    """An image of TREE in a format, built once."""
    folder = tmp_path_factory.mktemp("images")

    def make(format):
        path = folder / format
        if not path.exists():
            r = build("--base", "tar:%s" % tree, "--devices", "keep", "--format", format, "-o", path)
            assert r.returncode == 0, r.stderr
        return path
    return make


# ---- each format, by a reader of somebody else's ----


def names(listing):
    return {line.split(" -> ")[0].split(" link to ")[0].split()[-1] for line in listing.decode().splitlines() if line}


def test_squashfs_is_what_unsquashfs_reads(image, tmp_path):
    have("unsquashfs")
    listing = run("unsquashfs", "-llnumeric", "-d", "", image("squashfs")).decode()
    assert re.search(r"^-rwsr-xr-x 1000/70000 +1280000 .* /bin/tool$", listing, re.M)
    assert re.search(r"^crw-rw-rw- 0/0 +1, +3 .* /dev/null$", listing, re.M)
    assert re.search(r"^prw------- .* /run/pipe$", listing, re.M)
    assert re.search(r"^drwxrwxrwt 3/0 .* /tmp$", listing, re.M)
    assert re.search(r"^lrwxrwxrwx .* /etc/far -> /x{200}$", listing, re.M)
    run("unsquashfs", "-no-progress", "-d", tmp_path / "out", image("squashfs"))
    assert (tmp_path / "out/bin/again").read_bytes() == NOISE
    assert os.stat(tmp_path / "out/bin/again").st_nlink == 2
    assert (tmp_path / "out/zeros").read_bytes() == b"\0" * 3000000 + b"end"
    assert os.getxattr(tmp_path / "out/etc/hello", "user.note") == b"kept"
    assert os.stat(tmp_path / "out/etc/hello").st_mtime == 1234567890


def debugfs(path, command):
    return run("debugfs", "-R", command, path)


def test_ext4_is_what_e2fsck_wants(image):
    have("e2fsck", "debugfs", "dumpe2fs")
    path = image("ext4")
    run("e2fsck", "-fn", path)  # fails unless nothing is to be mended
    stat = debugfs(path, "stat /bin/tool").decode()
    assert "Mode:  04755" in stat and re.search(r"User: +1000 +Group: 70000", stat) and "Links: 2" in stat
    assert "0x499602d2" in stat  # 1234567890
    assert debugfs(path, "cat /bin/again").endswith(NOISE)
    assert debugfs(path, "cat /zeros").endswith(b"\0" * 3000000 + b"end")
    blocks = re.search(r"Blockcount: (\d+)", debugfs(path, "stat /zeros").decode())
    assert int(blocks.group(1)) <= 16  # holes stay holes
    assert b'user.note (4) = "kept"' in debugfs(path, "ea_list /etc/hello")
    assert b"01:03" in debugfs(path, "stat /dev/null")
    assert b"x" * 200 in debugfs(path, "stat /etc/far") or b"Size: 201" in debugfs(path, "stat /etc/far")
    assert b"metadata_csum" in run("dumpe2fs", "-h", path)


def test_initramfs_is_what_cpio_reads(image, tmp_path):
    have("cpio")
    data = run("gzip", "-dc", stdin=open(image("initramfs"), "rb"))
    listing = subprocess.run(["cpio", "-itvn", "--quiet"], input=data, stdout=subprocess.PIPE, check=True).stdout.decode()
    assert re.search(r"^-rwsr-xr-x +2 1000 +70000 .* bin/(tool|again)$", listing, re.M)
    assert re.search(r"^crw-rw-rw- +1 0 +0 +1, +3 .* dev/null$", listing, re.M)
    assert re.search(r"^lrwxrwxrwx .* etc/link -> hello$", listing, re.M)


def test_tar_is_what_tar_reads(image):
    with tarfile.open(image("tar")) as tar:
        members = {m.name: m for m in tar}
        wanted = dict(TREE)
        for name, fields in wanted.items():
            if name != "bin/tool":  # the later name of two is the link
                assert members[name].type == fields.get("type", tarfile.REGTYPE) or name == "bin/again"
        assert members["bin/tool"].islnk() and members["bin/tool"].linkname == "bin/again"
        assert tar.extractfile("bin/tool").read() == NOISE
        assert members["bin/tool"].gid == 70000 and members["etc/hello"].mtime == 1234567890
        assert members["etc/hello"].pax_headers["SCHILY.xattr.user.note"] == "kept"
    if shutil.which("bsdtar"):
        assert b"bin/tool" in run("bsdtar", "-tvf", image("tar"))


def test_a_folder_is_a_folder(build, tree, tmp_path):
    out = tmp_path / "out"
    r = build("-q", "--base", "tar:%s" % tree, "--devices", "skip", "--format", "dir", "-o", out)
    assert r.returncode == 0, r.stderr
    assert (out / "etc/hello").read_bytes() == HELLO
    assert os.stat(out / "etc/hello").st_mtime == 1234567890
    assert os.stat(out / "bin/tool").st_mode & 0o7777 == 0o4755
    assert os.stat(out / "bin/tool").st_nlink == 2 and os.readlink(out / "etc/link") == "hello"
    if os.geteuid() == 0:
        assert os.stat(out / "bin/tool").st_gid == 70000
    assert build.refuses("-q", "--base", "scratch", "--format", "dir", "-o", out).endswith("a folder must be a new one")
    assert sorted(os.listdir(tmp_path)) == ["out", "out.json"]


# ---- the same again ----


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_inputs_give_the_same_bytes(build, image, tree, tmp_path, format):
    first = image(format).read_bytes()
    time.sleep(1.1)  # clocks of seconds
    r = build("--base", "tar:%s" % tree, "--devices", "keep", "--format", format, "-o", tmp_path / "again", TZ="Asia/Tokyo",
              LC_ALL="C.UTF-8")
    assert r.returncode == 0, r.stderr
    assert (tmp_path / "again").read_bytes() == first
    about = json.loads((tmp_path / "again.json").read_text())
    assert about["digest"] == "sha256:" + hashlib.sha256(first).hexdigest() and about["format"] == format


def test_files_of_the_host_count_with_content_and_mode(build, tmp_path):
    digests = []
    for i in range(2):
        root = tmp_path / ("root%d" % i)
        (root / "sub").mkdir(parents=True)
        for name in ("b", "a", "sub/c") if i else ("sub/c", "a", "b"):  # made in another order
            (root / name).write_text(name)
            (root / name).chmod(0o755 if name == "a" else 0o644)
        os.link(root / "a", root / "z")
        os.utime(root / "a", (i, i))
        r = build("--base", "dir:%s" % root, "-o", tmp_path / "image")
        assert r.returncode == 0, r.stderr
        digests.append(json.loads((tmp_path / "image.json").read_text())["digest"])
    assert digests[0] == digests[1]


def test_epoch_clamps_times(build, tree, tmp_path):
    have("unsquashfs")
    r = build("-q", "--base", "tar:%s" % tree, "--devices", "skip", "-o", tmp_path / "image", SOURCE_DATE_EPOCH="1000000000")
    assert r.returncode == 0, r.stderr
    run("unsquashfs", "-no-progress", "-d", tmp_path / "out", tmp_path / "image")
    assert os.stat(tmp_path / "out/etc/hello").st_mtime == 1000000000


# ---- what goes in ----


def test_add_file(build, tmp_path):
    have("unsquashfs")
    base = tar_of(tmp_path / "base.tar", [("bin", dict(type=tarfile.SYMTYPE, linkname="/usr/bin")),
                                          ("usr/bin", dict(type=tarfile.DIRTYPE, mode=0o755)),
                                          ("usr/up", dict(type=tarfile.SYMTYPE, linkname="../../../bin/../lib")),
                                          ("loop", dict(type=tarfile.SYMTYPE, linkname="loop"))])
    (tmp_path / "daemon").write_text("#!/bin/sh\n")
    (tmp_path / "folder/deep").mkdir(parents=True)
    (tmp_path / "folder/deep/file").write_text("x")
    os.symlink("/etc/shadow", tmp_path / "folder/link")
    d = tmp_path
    message = build.refuses("-q", "--base", "tar:%s" % base, "--add-file", "%s/daemon:/loop/x" % d, "-o", d / "image")
    assert "loop of symbolic links" in message
    r = build("-q", "--base", "tar:%s" % base, "--add-file", "%s/daemon:/bin/daemon:0755:12:34" % d, "--add-file",
              "%s/daemon:/etc/" % d, "--add-file", "%s/daemon:/usr/up/x" % d, "--add-file", "%s/folder:/srv/data" % d, "--entrypoint", "/bin/daemon", "--entrypoint",
              "-v", "--env", "A=b c", "--workdir", "/srv", "--user", "nobody", "-o", d / "image")
    assert r.returncode == 0, r.stderr
    listing = run("unsquashfs", "-llnumeric", "-d", "", d / "image").decode()
    assert re.search(r"^-rwxr-xr-x 12/34 .* /usr/bin/daemon$", listing, re.M)
    assert re.search(r"^-rw-r--r-- 0/0 .* 1970-01-01 .* /etc/daemon$", listing, re.M)
    assert "/srv/data/deep/file" in listing and "/srv/data/link -> /etc/shadow" in listing and " /usr/lib/x\n" in listing
    about = json.loads((d / "image.json").read_text())
    assert about["entrypoint"] == ["/bin/daemon", "-v"] and about["env"] == ["A=b c"]
    assert about["workdir"] == "/srv" and about["user"] == "nobody"


def test_recipe(build, tmp_path):
    recipe = tmp_path / "guest.json"
    recipe.write_text(json.dumps({"base": "scratch", "add_file": ["%s:/recipe" % recipe], "format": "ext4",
                                  "size": 16, "output": str(tmp_path / "one")}))
    r = build("-q", "--recipe", recipe, "--output", tmp_path / "two")
    assert r.returncode == 0, r.stderr
    assert (tmp_path / "two").stat().st_size == 16 << 20 and not (tmp_path / "one").exists()
    if shutil.which("dumpe2fs"):
        assert b"has_journal" in run("dumpe2fs", "-h", tmp_path / "two")
    recipe.write_text('{"base": "scratch",\n "outptu": "x"}')
    assert build.refuses("--recipe", recipe) == "%s: unknown key 'outptu': did you mean 'output'?" % recipe
    recipe.write_text('{"base": "scratch",\n "output": }')
    assert build.refuses("--recipe", recipe).startswith("%s:2:" % recipe)


@pytest.mark.parametrize("args, words", [
    (["--base", "scratch"], "--output: is missing"),
    (["-o", "x"], "--base: is missing"),
    (["--base", "suse:15", "-o", "x"], "is none of scratch, dir:PATH"),
    (["--base", "alpine:NO SUCH", "-o", "x"], "alpine:NO SUCH"),
    (["--base", "scratch", "--install", "a;b", "-o", "x"], "is no package's name"),
    (["--base", "scratch", "--install", "a,,b", "-o", "x"], "between two commas"),
    (["--base", "scratch", "--size", "1G", "-o", "x"], "only ext4"),
    (["--base", "scratch", "--format", "ext3", "-o", "x"], "is none of initramfs|squashfs"),
    (["--base", "scratch", "--format", "initramfs", "--compress", "lz4", "-o", "x"], "use gzip or zstd"),
    (["--base", "tar:/nowhere/at/all", "-o", "x"], "no such file"),
    (["--base", "dir:/nowhere/at/all", "-o", "x"], "'/nowhere/at/all': no such file"),
    (["--base", "tar:/etc/hostname", "-o", "x"], "no usable tar archive"),
    (["--base", "tar:/dev/null", "-o", "x"], "no regular file"),
    (["--base", "scratch", "--add-file", "onlyone", "-o", "x"], "is not SOURCE:TARGET"),
    (["--base", "scratch", "--add-file", "/etc/hostname:/x:999", "-o", "x"], "not octal"),
    (["--base", "scratch", "--add-file", "/etc/hostname:/../x", "-o", "x"], "upwards"),
    (["--base", "scratch", "--env", "novalue", "-o", "x"], "is not NAME=VALUE"),
    (["--base", "scratch", "--workdir", "here", "-o", "x"], "is not absolute"),
])
def test_refusals(build, tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    assert words in build.refuses("-q", *args)
    assert os.listdir(tmp_path) == []  # nothing half made


def test_hostile_archives_leave_nothing(build, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    for i, entries in enumerate(([("../../evil", dict(data=b"x"))], [("/etc/evil", dict(data=b"x"))],
                                 [("l", dict(type=tarfile.SYMTYPE, linkname="/tmp")), ("l/evil", dict(data=b"x"))],
                                 [("dev/sda", dict(type=tarfile.BLKTYPE, devmajor=8))])):
        base = tar_of(tmp_path / ("%d.tar" % i), entries)
        for format in ("dir", "squashfs"):
            build.refuses("-q", "--base", "tar:%s" % base, "--format", format, "-o", out / "image")
    assert os.listdir(out) == []


# ---- when things go wrong ----


@pytest.fixture
def noise(tmp_path):
    """A base that takes a while."""
    path = tmp_path / "noise.tar"
    with open(path, "wb") as f:
        info = tarfile.TarInfo("noise")
        info.size = 256 << 20
        f.write(info.tobuf())
        block = os.urandom(1 << 20)
        for i in range(256):
            f.write(block)
        f.write(bytes(1024))
    return path


@pytest.mark.parametrize("format", ["squashfs", "ext4", "dir"])
def test_ctrl_c_leaves_what_was_there(build, noise, tmp_path, format):
    folder = tmp_path / "out"
    folder.mkdir()
    if format != "dir":
        (folder / "image").write_text("the old one")
    p = subprocess.Popen([build.path, "--base", "tar:%s" % noise, "--format", format, "--compress",
                          "xz" if format == "squashfs" else "auto", "-o", str(folder / "image")], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while not any(".part" in n and "json" not in n for n in os.listdir(folder)):
        assert time.monotonic() < deadline and p.poll() is None
        time.sleep(0.01)
    p.send_signal(signal.SIGINT)
    _, said = p.communicate(timeout=20)
    assert p.returncode == 130 and said.endswith(b"cancelled; nothing was written\n"), said
    if format == "dir":
        assert os.listdir(folder) == []
    else:
        assert os.listdir(folder) == ["image"] and (folder / "image").read_text() == "the old one"


def test_what_a_killed_build_leaves(build, noise, tmp_path):
    """Goes with the next one; what another one is writing stays, and what only looks like it."""
    folder = tmp_path / "out"
    folder.mkdir()
    words = [build.path, "--base", "tar:%s" % noise, "--format", "squashfs", "--compress", "xz", "-o", str(folder / "image")]

    def start():
        seen = set(os.listdir(folder))
        p = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not set(os.listdir(folder)) - seen:
            assert time.monotonic() < deadline and p.poll() is None
            time.sleep(0.01)
        return p, (set(os.listdir(folder)) - seen).pop()
    (folder / "image.part.1").write_text("a user's")
    killed, left = start()
    killed.kill()
    killed.wait()
    assert (folder / left).exists()
    first, theirs = start()
    second, ours = start()
    assert sorted(os.listdir(folder)) == sorted(["image.part.1", theirs, ours])
    for p in (first, second):
        p.send_signal(signal.SIGINT)
        p.wait(20)
    assert os.listdir(folder) == ["image.part.1"]


def test_a_full_disk(build, noise, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        for format in ("squashfs", "ext4", "tar"):
            message = build.refuses("-q", "--base", "tar:%s" % noise, "--format", format, "-o", folder / "image")
            assert "no space left" in message
            assert os.listdir(folder) == []
    finally:
        subprocess.run(["umount", folder], check=True)


def test_ext4_that_is_too_small(build, noise, tmp_path):
    message = build.refuses("-q", "--base", "tar:%s" % noise, "--format", "ext4", "--size", "64M", "-o", tmp_path / "image")
    assert "a larger --size is needed" in message and not (tmp_path / "image").exists()


@pytest.fixture(scope="module")
def mkfs_erofs():
    tool = subprocess.run([os.path.join(os.path.dirname(__file__), "../../tools/erofs.sh")], stdout=subprocess.PIPE)
    if tool.returncode:
        pytest.skip("no mkfs.erofs of 1.7 or later: tools/erofs.sh")
    return tool.stdout.decode().strip() + "/mkfs.erofs"


def test_erofs(build, mkfs_erofs, tmp_path):
    """By mkfs.erofs; the same twice, whatever the clock says."""
    digests = []
    for name in ("one", "two"):
        r = build("-q", "--base", "dir:%s" % os.path.dirname(__file__), "--format", "erofs", "-o", tmp_path / name, MICROVM_MKFS_EROFS=mkfs_erofs)
        assert r.returncode == 0, r.stderr
        data = (tmp_path / name).read_bytes()
        assert data[1024:1028] == b"\xe2\xe1\xf5\xe0"
        digests.append(hashlib.sha256(data).hexdigest())
        time.sleep(1.1)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("program,words", [("/bin/false", "1.7 or later"), ("/nonexistent", "no such file")])
def test_erofs_without_its_program(build, tmp_path, program, words):
    said = build.refuses("-q", "--base", "scratch", "--format", "erofs", "-o", tmp_path / "x", MICROVM_MKFS_EROFS=program)
    assert words in said and not os.path.exists(tmp_path / "x")
    said = build.refuses("-q", "--base", "scratch", "--format", "erofs", "--compress", "xz", "-o", tmp_path / "x",
                         MICROVM_MKFS_EROFS=program)
    assert "lz4" in said


# ---- booted ----


@pytest.mark.parametrize("format", ["initramfs", "squashfs", "ext4"])
def test_it_boots(kvm, build, tmp_path, format):
    kernel = os.environ.get("MICROVM_RING3_KERNEL")
    if not kernel:
        pytest.skip("MICROVM_RING3_KERNEL is not set")
    if not os.path.exists("/usr/bin/busybox"):
        pytest.skip("busybox-static is not installed")
    init = tmp_path / "init"
    init.write_text("#!/bin/busybox sh\n/bin/busybox cat /etc/hello /bin/again | /bin/busybox head -c 21\n"
                    "/bin/busybox stat -c '%u:%g:%a' /etc/hello\n/bin/busybox reboot -f\n")
    (tmp_path / "hello").write_bytes(HELLO)
    out = tmp_path / "image"
    compress = ["--compress", "gzip"] if format == "squashfs" else []
    r = build("-q", "--base", "scratch", "--add-file", "/usr/bin/busybox:/bin/busybox:0755", "--add-file",
              "%s:/init:0755" % init, "--add-file", "%s:/etc/hello:0640:7:8" % (tmp_path / "hello"), "--add-file",
              "%s:/dev/.keep" % (tmp_path / "hello"), "--format", format, *compress, "-o", out)
    assert r.returncode == 0, r.stderr
    if format == "initramfs":
        args = ["--initrd", out, "--cmdline", "quiet"]
    else:
        args = ["--disk", "%s,ro" % out, "--cmdline", "quiet root=/dev/vda ro rootfstype=%s init=/init" % format]
    r = kvm("run", "-k", kernel, "-m", "256", *args)
    text = r.stdout.replace(b"\r", b"")
    assert HELLO in text and b"7:8:640\n" in text, r.stdout[-2000:]
