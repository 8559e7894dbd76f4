# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm cp: with the agent on this computer behind a machine's name, with agents that
lie, and with a Linux guest."""
import fcntl
import hashlib
import io
import json
import os
import signal
import socket
import stat
import struct
import subprocess
import tarfile
import threading
import time

import pytest

from test_agent import EXIT, INPUT, OUTPUT, PROGRAM, REPLY, frame, strings, wait_until
from test_agent_copy import ENTRY, HOLE, NAMES, entry, left
from test_exec import place, web  # noqa: F401
from test_terminal import Terminal


class Fake:
    """A name, as a running machine has it, whose connections go where `connect` says."""

    def __init__(self, microvm, folder):
        self.connect = None
        self.env = {"XDG_RUNTIME_DIR": str(folder)}
        self.path = microvm.path
        self.microvm = microvm
        os.makedirs(folder / "microvm", mode=0o700)
        self.lock = open(folder / "microvm/web.lock", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(folder / "microvm/web.sock"))
        self.listener.listen()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            line = b""
            while not line.endswith(b"\n"):
                line += client.recv(1)
            assert json.loads(line)["port"] == 1024
            with self.connect() as s:
                socket.send_fds(client, [b'{"ok": true}\n'], [s.fileno()])
            client.close()

    def __call__(self, *args, **kw):
        return self.microvm(*args, **dict(self.env, **kw))

    def agent(self, path):
        def connect():
            s = socket.socket(socket.AF_UNIX)
            s.connect(path)
            return s
        self.connect = connect

    def liar(self, *frames, ends=True, forever=b""):
        """An agent that says this whatever it is asked, then hears until the end."""
        def talk(s):
            try:
                s.sendall(b"".join(frames))
                while forever:
                    s.sendall(forever)
                if ends:
                    s.shutdown(socket.SHUT_WR)
                while s.recv(1 << 16):
                    pass
            except OSError:
                pass
            s.close()

        def connect():
            ours, theirs = socket.socketpair()
            threading.Thread(target=talk, args=(ours,), daemon=True).start()
            return theirs
        self.connect = connect


@pytest.fixture(scope="module")
def fake(microvm, tmp_path_factory):
    return Fake(microvm, tmp_path_factory.mktemp("fake"))


@pytest.fixture(scope="module")
def agent_path(tmp_path_factory):
    if not PROGRAM:
        pytest.skip("microvm-init is not in this build")
    path = str(tmp_path_factory.mktemp("agent") / "socket")
    p = subprocess.Popen([PROGRAM, "--listen", path], stdin=subprocess.DEVNULL)
    wait_until(lambda: os.path.exists(path))
    yield path
    assert p.poll() is None, "the agent has died"
    p.terminate()
    p.wait(5)


@pytest.fixture
def cp(fake, agent_path):
    """cp of a machine named web, whose files are this computer's."""
    fake.agent(agent_path)

    def run(*args, status=0, **kw):
        r = fake("cp", *args, **kw)
        assert r.returncode == status, r
        return r
    run.fake = fake
    return run


def tree(top):
    """All that a tree is, by path."""
    found, files = {}, {}
    for folder, folders, names in os.walk(os.fsencode(top)):
        for name in [b"."] + folders + names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = [stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode)]
            if stat.S_ISLNK(st.st_mode):
                what += [os.readlink(path), st.st_mtime_ns]
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    what += [hashlib.sha256(f.read()).hexdigest(), st.st_mtime_ns]
                if st.st_nlink > 1:
                    files.setdefault(st.st_ino, []).append(os.path.relpath(path, os.fsencode(top)))
            elif name == b".":
                what.append(st.st_mtime_ns)
            found[os.path.relpath(path, os.fsencode(top))] = what
    return found, sorted(sorted(f) for f in files.values())


def make_tree(top):
    os.makedirs(top / "a/b/c")
    (top / "a/file").write_bytes(os.urandom(100000))
    (top / "a/run").write_text("#!/bin/sh\n")
    (top / "a/run").chmod(0o755)
    (top / "a/secret").write_text("x")
    (top / "a/secret").chmod(0o400)
    os.link(top / "a/file", top / "a/b/again")
    (top / "to nowhere").symlink_to("/no/where")
    (top / "to a").symlink_to("a")
    (top / "empty").mkdir(mode=0o700)
    for name in NAMES:
        with open(os.fsencode(top) + b"/a/b/" + name, "wb") as f:
            f.write(name)
    with open(top / "holes", "wb") as f:
        f.seek(1 << 30)
        f.write(b"end")
    os.utime(top / "a/run", ns=(1, 1111111111222222222))
    os.utime(top / "a/b", ns=(1, 1000000000000000001))
    (top / "a").chmod(0o555)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    top = tmp_path_factory.mktemp("sample") / "tree"
    make_tree(top)
    return top


# ---- trees ----------------------------------------------------------------------------

def test_a_tree_there_and_back(cp, sample, tmp_path):
    cp(sample, "web:%s" % (tmp_path / "in"))
    assert tree(tmp_path / "in") == tree(sample)
    cp("web:%s" % (tmp_path / "in"), tmp_path / "out")
    assert tree(tmp_path / "out") == tree(sample)
    assert (tmp_path / "out/holes").stat().st_blocks * 512 < 1 << 20
    assert not left(tmp_path)


def test_five_thousand_small_files(cp, tmp_path):
    top = tmp_path / "many"
    for i in range(50):
        os.makedirs(top / str(i))
        for j in range(100):
            (top / str(i) / str(j)).write_text("%d.%d" % (i, j))
    cp(top, "web:%s/in" % tmp_path)
    cp("web:%s/in" % tmp_path, tmp_path / "out")
    assert tree(tmp_path / "out") == tree(top)


def test_a_hundred_megabytes(cp, tmp_path):
    data = os.urandom(1 << 20) * 100
    (tmp_path / "f").write_bytes(data)
    cp(tmp_path / "f", "web:%s/in" % tmp_path)
    cp("web:%s/in" % tmp_path, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data


@pytest.mark.skipif(os.getuid() != 0, reason="other owners need root")
def test_owners(cp, tmp_path):
    (tmp_path / "f").write_text("x")
    os.chown(tmp_path / "f", 5, 6)
    os.chmod(tmp_path / "f", 0o4755)
    cp(tmp_path / "f", "web:%s/plain" % tmp_path)
    cp("-a", tmp_path / "f", "web:%s/kept" % tmp_path)
    cp("-a", "web:%s/kept" % tmp_path, tmp_path / "back")
    for name, owner, mode in (("plain", (0, 0), 0o755), ("kept", (5, 6), 0o4755),
                              ("back", (5, 6), 0o4755)):
        st = (tmp_path / name).stat()
        assert ((st.st_uid, st.st_gid), stat.S_IMODE(st.st_mode)) == (owner, mode)


def test_links_at_the_source(cp, tmp_path):
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to("f")
    cp(tmp_path / "l", "web:%s/link" % tmp_path)
    cp("-L", tmp_path / "l", "web:%s/file" % tmp_path)
    cp("--follow-link", "web:%s/l" % tmp_path, tmp_path / "out")
    assert os.readlink(tmp_path / "link") == "f"
    assert not (tmp_path / "file").is_symlink() and not (tmp_path / "out").is_symlink()


def test_docker_cps_targets(cp, tmp_path):
    """SRC, DST and what there is then; DST is in the machine, or here, all the same."""
    for where, to in (("in", "web:%s/in/"), ("out", "%s/out/")):
        src = tmp_path / ("src" if where == "in" else "src2")
        src.mkdir()
        (src / "f").write_text("x")
        base = tmp_path / where
        base.mkdir()
        (base / "folder").mkdir()
        (base / "file").write_text("old")
        pre = "" if where == "in" else "web:"
        to = to % tmp_path

        cp("%s%s" % (pre, src), to + "new")
        assert os.listdir(base / "new") == ["f"]
        cp("%s%s" % (pre, src), to + "folder")
        assert os.listdir(base / "folder" / src.name) == ["f"]
        cp("%s%s/." % (pre, src), to + "folder")
        assert sorted(os.listdir(base / "folder")) == ["f", src.name]
        cp("%s%s/." % (pre, src), to + "new2")
        assert os.listdir(base / "new2") == ["f"]
        cp("%s%s/" % (pre, src), to + "new3/")
        assert os.listdir(base / "new3") == ["f"]
        cp("%s%s/f" % (pre, src), to + "file")
        assert (base / "file").read_text() == "x"
        cp("%s%s/f" % (pre, src), to + "folder/g")
        assert (base / "folder/g").read_text() == "x"
        for source, target, words in (
                (src, "file", "a folder cannot be copied to it"),
                (src / "f", "no/", "is no folder that exists"),
                (src / "f", "no/no", "No such file"), (src, "no/no", "No such file"),
                (src / "no", "x", "No such file")):
            r = cp("%s%s" % (pre, source), to + target, status=1)
            assert words.lower() in r.stderr.decode().lower() and r.stderr.count(b"\n") == 1


def test_what_is_not_copied_is_said(cp, tmp_path):
    (tmp_path / "t").mkdir()
    os.mkfifo(tmp_path / "t/fi\nfo")
    for args in ((tmp_path / "t", "web:%s/in" % tmp_path), ("web:%s/t" % tmp_path, tmp_path / "o")):
        r = cp(*args)
        assert r.stderr == b"microvm: cp: fi?fo: skipped, it is a FIFO\n"
    r = cp("web:/dev/null", tmp_path / "x", status=1)
    assert b"is a device; files and folders can be copied" in r.stderr
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("args, words", [
    (["a", "b"], "one side is a machine"), (["web:a", "web:b"], "one side is this computer"),
    (["web:a"], "give a source and a target"), (["./web:a", "/web:b"], "one side is a machine"),
    (["web:a", "b", "c"], "give a source and a target"), (["-", "b"], "one side is a machine"),
    (["bew:a", "b"], "bew"),
])
def test_what_is_refused(fake, args, words):
    assert words in fake.microvm.refuses("cp", *args, **fake.env)


# ---- tar streams ----------------------------------------------------------------------

def has_tar(fake, agent_path):
    fake.agent(agent_path)
    r = fake("cp", "-", "web:/no/such", stdin=b"")
    if b"no libarchive" in r.stderr:
        pytest.skip("tar streams are not in this build")


def archive(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, what in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, 0o640, 1000
            if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
                info.linkname = what
            data = what if kind == tarfile.REGTYPE else b""
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_tar_stream_goes_in(cp, agent_path, tmp_path):
    has_tar(cp.fake, agent_path)
    data = archive(("./deep/er/f", tarfile.REGTYPE, b"data"), ("\u00e9/\u4e2d", tarfile.REGTYPE, b""), ("/abs", tarfile.REGTYPE, b""),
                   ("l", tarfile.SYMTYPE, "/x"), ("hard", tarfile.LNKTYPE, "./deep/er/f"),
                   ("deep/", tarfile.DIRTYPE, b""), ("fifo", tarfile.FIFOTYPE, b""))
    r = cp("-", "web:%s" % tmp_path, stdin=data)
    assert r.stderr == b"microvm: cp: fifo: skipped, it is neither file, folder nor link\n"
    assert (tmp_path / "deep/er/f").read_bytes() == b"data"
    assert (tmp_path / "\u00e9/\u4e2d").exists()
    assert (tmp_path / "hard").samefile(tmp_path / "deep/er/f")
    assert os.readlink(tmp_path / "l") == "/x" and (tmp_path / "abs").exists()
    assert (tmp_path / "abs").stat().st_mtime == 1000
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o640
    os.chmod(tmp_path / "deep", 0o755)


@pytest.mark.parametrize("member, words", [
    (("../x", tarfile.REGTYPE, b""), "leads upwards"), (("a/../../x", tarfile.DIRTYPE, b""), "leads"),
    (("x", tarfile.LNKTYPE, "../../etc/passwd"), "leads upwards"),
])
def test_a_tar_stream_that_is_hostile(cp, agent_path, tmp_path, member, words):
    has_tar(cp.fake, agent_path)
    (tmp_path / "t").mkdir()
    r = cp("-", "web:%s/t" % tmp_path, stdin=archive(member), status=1)
    assert words in r.stderr.decode() and os.listdir(tmp_path) == ["t"]
    data = archive(("l", tarfile.SYMTYPE, "/tmp"), ("l/x", tarfile.REGTYPE, b"x"))
    r = cp("-", "web:%s/t" % tmp_path, stdin=data, status=1)
    assert b"is there already and no folder" in r.stderr
    for bad in (b"nothing of the kind" * 100, archive(("f", tarfile.REGTYPE, b"x" * 9999))[:5000]):
        assert b"the tar stream: " in cp("-", "web:%s/t" % tmp_path, stdin=bad, status=1).stderr
    assert not left(tmp_path)


def test_a_tar_stream_comes_out(cp, agent_path, sample, tmp_path):
    has_tar(cp.fake, agent_path)
    (tmp_path / "t").mkdir()
    for n in ("f", "g"):
        (tmp_path / "t" / n).write_bytes(os.urandom(70000))
    os.link(tmp_path / "t/f", tmp_path / "t/h")
    (tmp_path / "t/l").symlink_to("f")
    r = cp("web:%s/t" % tmp_path, "-")
    subprocess.run(["tar", "x"], cwd=tmp_path / "t", input=r.stdout, check=True)
    got, links = tree(tmp_path / "t/t")
    assert got[b"f"] == tree(tmp_path / "t")[0][b"f"] and got[b"l"][2] == b"f"
    assert links == [[b"f", b"h"]]
    r = cp("web:%s/f" % (tmp_path / "t"), "-")
    with tarfile.open(fileobj=io.BytesIO(r.stdout)) as tar:
        assert tar.getnames() == ["f"]
    r = cp("web:%s/b/." % (sample / "a"), "-")
    subprocess.run(["tar", "x"], cwd=tmp_path, input=r.stdout, check=True)
    assert {n for n in os.listdir(os.fsencode(tmp_path))} >= set(NAMES)


# ---- agents that lie --------------------------------------------------------------------

YES = frame(REPLY, strings([("version", 1), ("type", "directory")]))
FILE = frame(REPLY, strings([("version", 1), ("type", "file"), ("size", 5)]))
END = frame(EXIT, b"code=0\0")


@pytest.mark.parametrize("frames, words", [
    ([YES, entry("directory", ""), entry("file", "../x"), END], "no path inside"),
    ([YES, entry("directory", ""), entry("file", "a/../../x"), END], "no path inside"),
    ([YES, entry("directory", ""), entry("file", "/x"), END], "no path inside"),
    ([YES, entry("directory", ""), entry("link", "l", ".."), entry("file", "l/x"), END], "no folder"),
    ([YES, entry("directory", ""), entry("same", "x", "../../x"), END], "no path inside"),
    ([YES, entry("directory", ""), entry("file", "x"), frame(HOLE, b"\xff" * 8), END], "larger than"),
    ([YES, entry("directory", ""), frame(OUTPUT, b"x"), END], "no place in a tree"),
    ([YES, entry("directory", ""), frame(INPUT, b"x"), END], "no place in a tree"),
    ([YES, entry("directory", ""), entry("device", "x"), END], "entry is none"),
    ([YES, entry("directory", ""), entry("directory", "d/" * 600 + "d"), END], "more than 512"),
    ([YES, entry("directory", ""), entry("file", "x"), frame(OUTPUT, b"x")], "agent has gone"),
    ([YES, entry("file", "x"), END], "in no folder"),
    ([YES, frame(EXIT, b"code=0")], "are none"),
    ([YES, frame(EXIT, b"code=1\0error=a\x1b[31m\nb\0")], "in the guest: a?[31m?b"),
    ([YES, frame(EXIT, b"")], "it failed"),
    ([YES, YES], "no place in a tree"),
    ([YES, b"\x0b\0\0\0"], "is no agent"),
    ([frame(REPLY, b"error=no\x07\0code=1\0")], "no?"),
    ([END], "did not reply"), ([b"SSH-2.0-OpenSSH\r\n"], "is no agent"), ([], "has gone"),
    ([FILE, entry("file", ""), frame(OUTPUT, b"12")], "has gone"),
])
def test_an_agent_that_lies(fake, tmp_path, frames, words):
    fake.liar(*frames)
    os.makedirs(tmp_path / "a/b")
    r = fake("cp", "web:/x", tmp_path / "a/b/new")
    assert r.returncode == 1 and words in r.stderr.decode(), r
    assert r.stderr.count(b"\n") == 1 and b"\x1b" not in r.stderr
    assert os.listdir(tmp_path) == ["a"] and os.listdir(tmp_path / "a") == ["b"]
    assert not left(tmp_path)


def test_an_agent_that_lies_while_it_takes(fake, tmp_path):
    (tmp_path / "f").write_bytes(bytes(8 << 20))
    for frames, words in (([FILE, frame(EXIT, b"code=1\0error=no room\0")], "in the guest: no room"),
                          ([FILE, END], "too soon"), ([FILE, YES], "did not end the copy"),
                          ([FILE], "has gone")):
        for ends in (True, False) if len(frames) > 1 else (True,):
            fake.liar(*frames, ends=ends)
            r = fake("cp", tmp_path / "f", "web:/x")
            assert r.returncode == 1 and words in r.stderr.decode(), (frames, r)


def interrupted(fake, *args, number=signal.SIGINT, until=lambda: True):
    p = subprocess.Popen([fake.path, "cp", *map(str, args)], env=dict(os.environ, **fake.env),
                         stderr=subprocess.PIPE)
    wait_until(until)
    time.sleep(0.2)
    p.send_signal(number)
    return p.wait(5), p.stderr.read()


def test_an_agent_without_an_end(fake, tmp_path):
    """It is stopped as the user wants it, and no half file stays."""
    fake.liar(FILE, entry("file", ""), forever=frame(OUTPUT, bytes(4096)))
    status, said = interrupted(fake, "web:/x", tmp_path / "f", until=lambda: left(tmp_path))
    assert (status, said) == (130, b"") and not os.listdir(tmp_path)
    fake.liar(FILE, entry("file", ""), frame(OUTPUT, b"x"), ends=False)  # stands still
    status, said = interrupted(fake, "web:/x", tmp_path / "f", number=signal.SIGTERM,
                               until=lambda: left(tmp_path))
    assert (status, said) == (143, b"") and not os.listdir(tmp_path)
    fake.liar(YES, entry("directory", ""),
              forever=b"".join(entry("directory", "d%d" % i) for i in range(50)))
    assert interrupted(fake, "web:/x", tmp_path / "t", until=(tmp_path / "t").exists)[0] == 130


def test_a_client_that_is_killed_leaves_nothing(fake, agent_path, tmp_path):
    has_tar(fake, agent_path)
    p = subprocess.Popen([fake.path, "cp", "-", "web:%s" % tmp_path], stdin=subprocess.PIPE,
                         env=dict(os.environ, **fake.env))
    p.stdin.write(archive(("f", tarfile.REGTYPE, bytes(1 << 20)))[:1 << 19])  # and no more
    p.stdin.flush()
    wait_until(lambda: left(tmp_path))
    p.kill()
    assert p.wait(5) == -signal.SIGKILL
    wait_until(lambda: not os.listdir(tmp_path))
    p.stdin.close()


def test_a_bar_on_a_terminal(fake, tmp_path):
    fake.liar(frame(REPLY, strings([("version", 1), ("type", "file"), ("size", 1 << 40)])),
              entry("file", ""), forever=frame(OUTPUT, bytes(4096)))
    t = Terminal(fake.path, "cp", "web:/x", str(tmp_path / "f"), env=dict(os.environ, **fake.env))
    t.until(b"TiB")
    t.process.send_signal(signal.SIGINT)
    assert t.process.wait(5) == 130
    t.close()


# ---- a Linux guest ----------------------------------------------------------------------

def test_a_guest(web, sample, tmp_path):
    r = web("cp", sample, "web:/tmp/t", timeout=120)
    assert r.returncode == 0, r
    r = web("cp", "web:/tmp/t", tmp_path / "out", timeout=120)
    assert r.returncode == 0, r
    assert tree(tmp_path / "out") == tree(sample)
    r = web("exec", "web", "sh", "-c", "stat -c %a /tmp/t/a/secret; du -k /tmp/t/holes; rm -rf /tmp/t")
    assert r.stdout.split()[0] == b"400" and int(r.stdout.split()[1]) < 1000


def test_a_guests_disk_that_is_full(web, tmp_path):
    (tmp_path / "f").write_bytes(bytes(4 << 20))
    web("exec", "web", "sh", "-c", "mkdir /tmp/s; mount -t tmpfs -o size=1m none /tmp/s")
    r = web("cp", tmp_path / "f", "web:/tmp/s", timeout=60)
    assert (r.returncode, r.stderr) == (
        1, b"microvm: cp: in the guest: 'f': No space left on device\n")
    assert web("exec", "web", "ls", "-A", "/tmp/s").stdout == b""
    web("exec", "web", "umount", "/tmp/s")


def test_a_guest_moves_a_hundred_megabytes(web, tmp_path):
    data = os.urandom(1 << 20) * 96
    (tmp_path / "f").write_bytes(data)
    r = web("cp", tmp_path / "f", "web:/tmp", timeout=120)
    assert r.returncode == 0, r
    r = web("cp", "web:/tmp/f", tmp_path / "out", timeout=120)
    assert r.returncode == 0 and (tmp_path / "out").read_bytes() == data
    web("exec", "web", "rm", "/tmp/f")
