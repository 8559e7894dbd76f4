# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm-build --run and --install: commands in the image, in a machine."""
import json
import os
import signal
import subprocess
import tarfile
import time

import pytest

from test_image import build, have, tar_of  # noqa: F401: build is a fixture
from test_run_image import root  # noqa: F401: a fixture

NETD = os.environ.get("MICROVM_NETD")


@pytest.fixture(scope="module")
def make(kvm, build, root, tmp_path_factory):  # noqa: F811
    """Builds with a machine; gives the result of the program."""
    kernel = os.environ.get("MICROVM_RING3_KERNEL")
    if not kernel or not os.environ.get("MICROVM_INIT"):
        pytest.skip("MICROVM_RING3_KERNEL is not set, or microvm-init is not in this build")

    def run(*args, base=None, **env):
        words = ["--base", base or "dir:%s" % root, "--kernel", kernel]
        if "--net" not in args:
            words += ["--net", "none"]
        return build(*words, *args, timeout=60, **env)
    run.words = [build.path, "--base", "dir:%s" % root, "--kernel", kernel, "--net", "none"]
    run.build = build
    return run


def refusal(r):
    assert r.returncode == 125 and r.stdout == b"", r
    return r.stderr.decode().splitlines()[-1]


def members(path):
    with tarfile.open(path) as tar:
        return {m.name: m for m in tar}


def content(path, name):
    with tarfile.open(path) as tar:
        return tar.extractfile(name).read()


def test_what_a_command_does_is_in_the_image(make, tmp_path):
    out = tmp_path / "out.tar"
    r = make("--run", "mkdir -p /srv/data; echo $A $B >/srv/data/file; busybox chmod 2750 /srv/data; busybox chown 7:8 /srv/data/file",
             "--run", "busybox ln /srv/data/file /srv/again; busybox ln -s data/file /srv/link; busybox rm /bin/uname; id -u; echo said >&2",
             "--run", "busybox mkfifo /srv/pipe; busybox truncate -s 5000000 /srv/holes",
             "--env", "A=one", "--env", "B=two", "--format", "tar", "-o", out)
    assert r.returncode == 0, r.stderr
    said = [line for line in r.stderr.splitlines() if not line.startswith(b"microvm-build:")]
    assert said == [b"0", b"said"], r.stderr  # what it says is shown, between the progress
    m = members(out)
    assert content(out, "srv/data/file") == b"one two\n" or content(out, "srv/again") == b"one two\n"
    files = [m["srv/data/file"], m["srv/again"]]
    assert sorted(f.islnk() for f in files) == [False, True]
    assert m["srv/data"].mode == 0o2750 and {(f.uid, f.gid) for f in files} == {(7, 8)}
    assert m["srv/link"].linkname == "data/file" and m["srv/pipe"].isfifo() and m["srv/holes"].size == 5000000
    assert "bin/uname" not in m and "bin/busybox" in m and m["bin/sh"].issym()


def test_the_machine_leaves_nothing_of_itself(make, tmp_path):
    """Nor does a run that does nothing change anything."""
    plain, run = tmp_path / "plain", tmp_path / "run"
    for path, args in (plain, []), (run, ["--run", "mount >/dev/null; echo x >/tmp/x; ls / >/run/y"]):
        assert make(*args, "-q", "--format", "tar", "-o", path).returncode == 0
    before, after = members(plain), members(run)
    assert sorted(before) == sorted(after)
    assert after["etc/resolv.conf"].linkname == "../run/nowhere"
    assert {n: (m.mode, m.uid, m.size, m.mtime) for n, m in before.items()} == {n: (m.mode, m.uid, m.size, m.mtime) for n, m in after.items()}


@pytest.mark.parametrize("format", ["squashfs", "ext4", "initramfs"])
def test_the_same_run_gives_the_same_bytes(make, tmp_path, format):
    """Although the clock goes on, and the base is so young that its files could be taken for the run's."""
    base = tar_of(tmp_path / "base.tar", [(m.name, dict(type=m.type, mode=m.mode, linkname=m.linkname, mtime=int(time.time()),
                                                        data=d)) for m, d in root_entries(make)])
    digests = set()
    for name in ("one", "two"):
        r = make("-q", "--run", "echo stamped by nothing >/file; mkdir /dir; touch /etc/passwd", "--format", format, "-o",
                 tmp_path / name, base="tar:%s" % base)
        assert r.returncode == 0, r.stderr
        digests.add(json.loads((tmp_path / (name + ".json")).read_text())["digest"])
        time.sleep(1.1)
    assert len(digests) == 1


def root_entries(make):
    folder = make.words[2][4:]
    tar = subprocess.run(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
    import io
    with tarfile.open(fileobj=io.BytesIO(tar)) as t:
        return [(m, t.extractfile(m).read() if m.isreg() else b"") for m in t]


def test_times_of_the_run_are_the_epochs(make, tmp_path):
    out = tmp_path / "out.tar"
    r = make("-q", "--run", "echo >/new; echo >/old; busybox touch -d @1000000000 /old; echo $SOURCE_DATE_EPOCH >/epoch",
             "--epoch", "1500000000", "--format", "tar", "-o", out)
    assert r.returncode == 0, r.stderr
    m = members(out)
    assert m["new"].mtime == 1500000000 and m["old"].mtime == 1000000000
    assert content(out, "epoch") == b"1500000000\n"


def test_the_network_is_there_where_it_is_wanted(make, tmp_path):
    if not NETD:
        pytest.skip("microvm-netd is not in this build")
    out = tmp_path / "out.tar"
    r = make("-q", "--net", "user", "--netd", NETD, "--run", "ip -4 addr show eth0 >/addr; cat /etc/resolv.conf >/resolv", "--format", "tar", "-o", out)
    assert r.returncode == 0, r.stderr
    assert b"10.0.2.15" in content(out, "addr") and content(out, "resolv") == b"nameserver 10.0.2.3\n"
    r = make("-q", "--run", "ip link >/link", "--format", "tar", "-o", out)
    assert r.returncode == 0 and b"eth0" not in content(out, "link")


@pytest.mark.parametrize("args, words", [
    (["--run", "true", "--run", "exit 3", "--run", "touch /x"], "--run: 'exit 3': ended with status 3"),
    (["--run", "busybox sleep 50", "--timeout", "2"], "--run: 'busybox sleep 50': the time for what is run was over"),
    (["--run", "busybox reboot -f"], "the machine ended while something ran in it"),
    (["--run", "busybox mknod /null c 1 3"], "'null': a device node was made"),
    (["--run", "busybox dd if=/dev/zero of=/big bs=1M count=60", "--format", "ext4", "--size", "24M"], "ended with status 1"),
    (["--install", "jq"], "--install: the base has neither apt-get nor apk"),
    (["--install=--force"], "'--force' is no package's name"),
    (["--run", "true", "--arch", "arm64"], "runs nothing of arm64"),
    (["--run", "true", "--timeout", "soon"], "--timeout soon: give seconds"),
    (["--run", "true", "--kernel", "/etc/hostname"], "what is run in images needs a machine: "),
])
def test_what_fails_is_named_and_leaves_nothing(make, tmp_path, args, words):
    out = tmp_path / "out"
    out.mkdir()
    assert words in refusal(make(*args, "-o", out / "image"))
    assert os.listdir(out) == []


def test_without_a_kernel_it_says_what_makes_one(make, tmp_path):
    r = make.build("-q", "--base", "scratch", "--run", "true", "-o", tmp_path / "image", XDG_CACHE_HOME=str(tmp_path), MICROVM_KERNEL="")
    assert "'microvm-build kernel' makes one" in refusal(r)


def test_an_image_without_a_shell(make, tmp_path):
    r = make("-q", "--add-file", "/etc/hostname:/name", "--run", "ls", "-o", tmp_path / "image", base="scratch")
    assert refusal(r).endswith("--run: 'ls': /bin/sh: No such file or directory")


def processes_below(pid):
    kids = []
    for task in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/children" % (pid, task)) as f:
            kids += map(int, f.read().split())
    return kids


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_ctrl_c_leaves_no_image_and_no_process(make, tmp_path, number):
    folder = tmp_path / "out"
    folder.mkdir()
    net = ["--net", "user", "--netd", NETD] if NETD else []
    p = subprocess.Popen([*make.words, *net, "--run", "echo now; busybox sleep 50", "-o", str(folder / "image")], stderr=subprocess.PIPE)
    for line in p.stderr:
        if line == b"now\n":
            break
    kids = processes_below(p.pid)
    assert bool(kids) == bool(NETD)
    p.send_signal(number)
    _, said = p.communicate(timeout=10)
    if number == signal.SIGINT:
        assert p.returncode == 130 and said.endswith(b"cancelled; nothing was written\n"), said
    assert os.listdir(folder) == []
    deadline = time.monotonic() + 5
    while any(alive(k) for k in kids):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


APK = """#!/bin/sh
# Not apk: a program of its name, which notes how it was called.
echo "$@" >/etc/apk.called; echo log >/var/log/apk.log; echo "echo hello from a package" >/usr/bin/hello; busybox chmod 755 /usr/bin/hello
[ "$3" != nothing ] || { echo "nothing (no such package)" >&2; exit 1; }
"""


def test_packages_are_the_bases_own_affair(make, tmp_path):
    """Which program is asked and how, with one that only has the name of Alpine's; apk itself was not run, for want of one on this computer."""
    (tmp_path / "apk").write_text(APK)
    words = ["-q", "--add-file", "%s:/sbin/apk:0755" % (tmp_path / "apk"), "--add-file", "/etc/hostname:/usr/bin/.keep", "--add-file", "/etc/hostname:/var/log/keep", "--format", "tar", "-o", tmp_path / "out"]
    r = make(*words, "--install", "openvpn,wireguard-tools", "--run", "sh /usr/bin/hello >/said")
    assert r.returncode == 0, r.stderr
    assert content(tmp_path / "out", "etc/apk.called") == b"add --no-cache openvpn wireguard-tools\n"
    assert content(tmp_path / "out", "said") == b"hello from a package\n"
    assert "var/log/apk.log" not in members(tmp_path / "out")
    assert refusal(make(*words, "--install", "nothing")) == "microvm-build: --install: ended with status 1"
