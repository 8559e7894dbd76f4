# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm-build kernel, with a Linux of twenty lines: what is built when, what is kept,
what is said, and what an interrupted build leaves. The real one takes minutes; the boot
suite starts it where it has been built."""
import os
import pty
import re
import shutil
import signal
import subprocess
import tarfile
import time

import pytest

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
FRAGMENTS = os.path.join(ROOT, "guest", "kernel")

# Does what Kconfig and kbuild do with what is asked of them, and prints as they do.
MAKEFILE = """
.SILENT:
O := .
allnoconfig:
	grep '^CONFIG_' $(KCONFIG_ALLCONFIG) | awk -F= '{v[$$1]=$$0} END {for (n in v) print v[n]}' \\
	    | grep -v -e '=n$$' -e DROPPED | sort > $(O)/.config
kernelrelease:
	echo 6.12.0-fake
vmlinux:
	seq -f '  CC      %g.o' 300; echo run >> $(COUNT); sleep $(PAUSE)
	echo 'int main(void) { return 0; }' > $(O)/a.c
	if [ -n "$(BROKEN)" ]; then echo 'a.c:1: error: broken' >&2; exit 1; fi
	$(CROSS_COMPILE)gcc -o $(O)/vmlinux $(O)/a.c
	echo '  LD      vmlinux'
bzImage Image: vmlinux
	mkdir -p $(O)/arch/x86/boot $(O)/arch/arm64/boot
	echo "$$KBUILD_BUILD_TIMESTAMP $$KBUILD_BUILD_USER" | tee $(O)/arch/x86/boot/bzImage \\
	    > $(O)/arch/arm64/boot/Image
"""


@pytest.fixture
def kernel(microvm_build, tmp_path):
    """The command with a cache and a source of its own."""
    source = tmp_path / "linux"
    source.mkdir()
    (source / "Makefile").write_text(MAKEFILE)
    (source / "Kconfig").write_text("")

    def run(*args, **env):
        return microvm_build("kernel", "--source", source, *args, **dict(run.env, **env))

    run.source, run.path = source, microvm_build.path
    run.runs = lambda: len((tmp_path / "count").read_text().split())
    run.cache = tmp_path / "cache" / "microvm" / "kernels"
    run.env = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "MICROVM_DATA": os.path.dirname(FRAGMENTS),
               "COUNT": str(tmp_path / "count"), "PAUSE": "0", "BROKEN": ""}
    r = run("--configure")
    if "not installed" in r.stderr.decode():
        pytest.skip(r.stderr.decode())
    return run


def test_a_kernel_is_made_once(kernel, tmp_path):
    r = kernel()
    assert r.returncode == 0, r.stderr
    folder = r.stdout.decode().strip()
    assert sorted(os.listdir(folder)) == ["about", "config", "vmlinux", "vmlinuz"]
    assert os.path.realpath(kernel.cache / "default-x86_64") == folder
    assert os.listdir(kernel.cache / "part") == []
    assert r.stderr == b"microvm-build: compiling\n"
    again = kernel("--output", tmp_path / "out")
    assert (again.returncode, again.stderr) == (0, b"")
    assert again.stdout.decode().strip() == str(tmp_path / "out")
    for name in os.listdir(folder):
        assert (tmp_path / "out" / name).read_bytes() == open(os.path.join(folder, name), "rb").read()
    assert kernel.runs() == 1


def test_on_a_terminal_there_is_a_bar(kernel):
    ours, theirs = pty.openpty()
    env = dict(os.environ, **dict(kernel.env, PAUSE="0.6"))
    r = subprocess.run([kernel.path, "kernel", "--source", kernel.source], env=env,
                       stdout=subprocess.PIPE, stderr=theirs, timeout=30)
    os.close(theirs)
    text = os.read(ours, 65536).decode()
    os.close(ours)
    assert r.returncode == 0, text
    assert re.search(r"compiling +#+\.+ +13%  301 of 2250 steps, \d+/s, \d+:\d\d left", text)
    assert text.endswith("\r\033[K")  # nothing of it is left


def test_what_it_is_made_of_decides(kernel, tmp_path):
    """The source's content, the fragments, the date; not the source's place."""
    first = kernel().stdout
    mine = tmp_path / "mine.config"
    mine.write_text("CONFIG_MINE=y\n")
    others = [kernel("--variant", "fast").stdout, kernel("--config", mine).stdout,
              kernel(SOURCE_DATE_EPOCH="1").stdout]
    tarball = tmp_path / "linux.tar.xz"
    with tarfile.open(tarball, "w:xz") as tar:
        tar.add(kernel.source, "linux-6.12")
    others.append(kernel("--source", tarball).stdout)
    (kernel.source / "new").write_text("")
    others.append(kernel().stdout)
    assert len({first, *others}) == 6 and kernel.runs() == 6
    shutil.move(kernel.source, tmp_path / "moved")
    (tmp_path / "moved" / "new").unlink()
    assert kernel("--source", tmp_path / "moved").stdout == first


def test_nothing_of_the_time_and_the_place_gets_in(kernel, tmp_path):
    def files(cache):
        r = kernel(XDG_CACHE_HOME=str(tmp_path / cache))
        assert r.returncode == 0, r.stderr
        folder = r.stdout.decode().strip()
        return {n: open(os.path.join(folder, n), "rb").read() for n in os.listdir(folder)}

    assert files("one") == files("two") and kernel.runs() == 2


def test_a_line_that_kconfig_drops_is_an_error(kernel, tmp_path):
    mine = tmp_path / "mine.config"
    mine.write_text("CONFIG_DROPPED=y\nCONFIG_KEPT=y\n")
    r = kernel("--config", mine)
    assert r.returncode == 125 and r.stdout == b""
    assert r.stderr == (b"microvm-build: kernel: CONFIG_DROPPED=y was asked for and is n in the "
                        b"kernel's .config\nmicrovm-build: kernel: the fragments do not fit "
                        b"this source\n")


def test_a_later_line_wins(kernel, tmp_path):
    mine = tmp_path / "mine.config"
    mine.write_text("CONFIG_WIREGUARD=n\nCONFIG_NR_CPUS=8\n")
    config = open(kernel("--config", mine, "--configure").stdout.decode().strip()).read()
    assert "CONFIG_NR_CPUS=8\n" in config and "WIREGUARD" not in config


def test_a_compiler_error_is_shown(kernel):
    r = kernel(BROKEN="yes")
    assert r.returncode == 125 and r.stdout == b""
    assert b"kernel: a.c:1: error: broken\n" in r.stderr
    assert b"compiling failed; the whole log is " in r.stderr
    assert not os.path.lexists(kernel.cache / "default-x86_64")


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_leaves_no_kernel_and_no_process(kernel, tmp_path, number, status):
    p = subprocess.Popen([kernel.path, "kernel", "--source", kernel.source, "--output",
                          tmp_path / "out"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env=dict(os.environ, **dict(kernel.env, PAUSE="31.4159")))
    while not os.path.exists(kernel.env["COUNT"]):
        time.sleep(0.02)
    p.send_signal(number)
    out, err = p.communicate(timeout=10)
    assert p.returncode == status and out == b""
    assert err.endswith(b"kernel: stopped; the same command goes on from here\n")
    assert not os.path.exists(tmp_path / "out")
    assert not os.path.lexists(kernel.cache / "default-x86_64")
    assert "31.4159" not in subprocess.run(["ps", "-eo", "args"], stdout=subprocess.PIPE,
                                           check=True).stdout.decode()
    assert kernel().returncode == 0 and len(os.listdir(kernel.cache / "part")) == 0


def test_two_at_once_are_one_build(kernel):
    """The second waits for the first, and takes what that has made."""
    env = dict(os.environ, **dict(kernel.env, PAUSE="0.5"))
    both = [subprocess.Popen([kernel.path, "kernel", "--source", kernel.source], env=env,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    said = [p.communicate(timeout=20) for p in both]
    assert [p.returncode for p in both] == [0, 0], said
    assert said[0][0] == said[1][0] and kernel.runs() == 1


@pytest.mark.parametrize("args, message", [
    (["--arch", "arm"], "--arch: 'arm' is none of x86_64 and arm64: did you mean 'arm64'?"),
    (["--variant", "quick"], "--variant: 'quick' is none of default and fast"),
    (["--jobs", "0"], "--jobs: '0' is no number from 1 to 9999"),
    (["--jobs", "many"], "--jobs: 'many' is no number from 1 to 9999"),
    (["--source", "/nowhere"], "kernel: --source /nowhere: does not exist"),
    (["--config", "/nowhere"], "kernel: --config /nowhere: cannot be read"),
])
def test_refusals(microvm_build, tmp_path, args, message):
    said = microvm_build.refuses("kernel", "--source", tmp_path, *args,
                                 XDG_CACHE_HOME=str(tmp_path))
    if "not installed" in said:
        pytest.skip(said)
    assert said == message


def test_missing_tools_are_named(microvm_build, tmp_path):
    """All of them, and the packages that hold them."""
    for tool in ["bash", "dirname", "mkdir", "uname", "nproc", "gcc", "sh"]:
        (tmp_path / tool).symlink_to(shutil.which(tool))
    said = microvm_build.refuses("kernel", "--source", tmp_path, PATH=str(tmp_path),
                                 XDG_CACHE_HOME=str(tmp_path))
    assert re.search("not installed are make flex bison bc .*; on Debian and Ubuntu: sudo "
                     "apt-get install make flex", said)


def test_what_is_no_source_is_refused(kernel, tmp_path):
    (tmp_path / "text.tar").write_text("no archive")
    r = kernel("--source", tmp_path / "text.tar")
    assert r.returncode == 125 and b"text.tar: cannot be unpacked" in r.stderr
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.add(os.path.join(FRAGMENTS, "build.sh"), "other/build.sh")
    r = kernel("--source", tmp_path / "other.tar")
    assert r.returncode == 125 and b"no Linux source is in it" in r.stderr


# ---- the fragments --------------------------------------------------------------------

def asked_for(*names):
    wanted = {}
    for name in names:
        path = os.path.join(FRAGMENTS, name + ".config")
        if os.path.exists(path):
            with open(path, encoding="utf-8") as f:
                wanted.update(re.findall(r"^(CONFIG_\w+)=(.*)$", f.read(), re.M))
    return wanted


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_the_default_has_what_was_promised(arch):
    """build.sh sees to it that the finished .config has each line of the fragments."""
    on = """VIRTIO VIRTIO_PCI VIRTIO_MMIO VIRTIO_NET VIRTIO_BLK VIRTIO_CONSOLE VSOCKETS
        VIRTIO_VSOCKETS NET INET TUN""".split()
    off = "MODULES SOUND USB WIRELESS WLAN BT DRM FB".split()
    wanted = asked_for("common", arch, "default", "default-" + arch)
    assert {n: wanted.get("CONFIG_" + n) for n in on} == dict.fromkeys(on, "y")
    assert {n: wanted.get("CONFIG_" + n) for n in off} == dict.fromkeys(off, "n")


def test_every_line_of_a_fragment_is_one():
    for name in os.listdir(FRAGMENTS):
        if name.endswith(".config"):
            with open(os.path.join(FRAGMENTS, name), encoding="utf-8") as f:
                bad = [t for t in f.read().splitlines()
                       if t and not re.fullmatch(r'#.*|CONFIG_\w+=(y|n|-?\d+|"[^"]*")', t)]
            assert bad == []
