# SPDX-License-Identifier: MIT OR Apache-2.0
"""Trees into the guest and out of it ("put" and "get"), spoken byte by byte as
proto/agent.md has it."""
import hashlib
import os
import re
import socket
import stat
import struct
import subprocess
import threading
import time

import pytest

from test_agent import (EXIT, INPUT, OUTPUT, PROGRAM, REPLY, REQUEST, agent, frame,  # noqa: F401
                        strings, wait_until)

ENTRY, HOLE = 9, 10
pytestmark = pytest.mark.skipif(not PROGRAM, reason="microvm-init is not in this build")
NAMES = [b"plain", b"new\nline", b"\xff\xfe", b" ", b"-rf", b"a" * 255, b"*", b"=\\"]


def pairs(data):
    return dict(s.split(b"=", 1) for s in data.split(b"\0")[:-1])


def entry(kind, path, target=None, mode=0o644, **more):
    more = dict({"mode": mode}, **more) if kind not in ("same", "skipped") else more
    if target is not None:
        more["target"] = target
    return frame(ENTRY, strings([("type", kind), ("path", path)] + list(more.items())))


def put(c, path, *frames, kind="directory", **options):
    """What the agent says at the end: its reply if it refuses, else its exit."""
    options = dict({"timeout_ms": 20000}, **options)
    reply = c.ask(("do", "put"), ("path", path), ("type", kind), *options.items())
    if "error" in reply:
        return reply
    assert reply["version"] == "1"
    try:
        c.socket.sendall(b"".join(frames) + frame(INPUT))
    except (BrokenPipeError, ConnectionResetError):
        pass
    kind, data = c.receive()
    assert kind == EXIT
    with pytest.raises((EOFError, ConnectionResetError)):
        c.exactly(1)
    return {k.decode(): v.decode(errors="replace") for k, v in pairs(data).items()}


def get(c, path, **options):
    """The reply, [(entry, data)], and the exit. Holes are zeros."""
    reply = c.ask(("do", "get"), ("path", path), ("timeout_ms", 20000), *options.items())
    found = []
    while "error" not in reply:
        kind, data = c.receive()
        if kind == EXIT:
            return reply, found, {k.decode(): v.decode() for k, v in pairs(data).items()}
        if kind == ENTRY:
            found.append((pairs(data), bytearray()))
        elif kind == HOLE:
            found[-1][1].extend(bytes(struct.unpack("<Q", data)[0]))
        else:
            assert kind == OUTPUT and data
            found[-1][1].extend(data)
    return reply, [], {}


def left(folder):
    """Names that a copy has left behind."""
    return [n for _, d, f in os.walk(folder) for n in d + f if "microvm-copy" in n]


# ---- in -------------------------------------------------------------------------------

def test_a_tree_goes_in(agent, tmp_path):
    data = os.urandom(200000)
    with agent() as c:
        end = put(c, tmp_path, entry("directory", "", mode=0o2750, mtime_ns=1500000000123456789),
                  entry("directory", "d", mode=0o500), entry("file", "d/f", mode=0o4711),
                  *[frame(INPUT, data[i:i + 65536]) for i in range(0, len(data), 65536)],
                  entry("same", "d/again", "d/f"), entry("link", "l", "../../no/where"),
                  entry("file", "empty", mtime_ns=7), name="t")
    assert end == {"code": "0", "entries": "6", "bytes": "200000"}
    top = tmp_path / "t"
    st = top.stat()
    assert (stat.S_IMODE(st.st_mode), st.st_mtime_ns) == (0o750, 1500000000123456789)
    assert stat.S_IMODE((top / "d").stat().st_mode) == 0o500
    assert (top / "d/f").read_bytes() == data
    # without "owners" no program runs as somebody else
    assert stat.S_IMODE((top / "d/f").stat().st_mode) == 0o711
    assert (top / "d/again").samefile(top / "d/f")
    assert os.readlink(top / "l") == "../../no/where"
    assert (top / "empty").stat().st_size == 0 and (top / "empty").stat().st_mtime_ns == 7
    assert not left(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="other owners need root")
def test_owners(agent, tmp_path):
    with agent() as c:
        end = put(c, tmp_path, entry("directory", "", mode=0o755, uid=5, gid=6),
                  entry("file", "f", mode=0o4755, uid=7, gid=8),
                  entry("link", "l", "x", uid=9, gid=10), name="t", owners=1)
    assert end["code"] == "0"
    st = [os.lstat(tmp_path / "t" / n) for n in ("", "f", "l")]
    assert [(s.st_uid, s.st_gid) for s in st] == [(5, 6), (7, 8), (9, 10)]
    assert stat.S_IMODE(st[1].st_mode) == 0o4755


def test_holes(agent, tmp_path):
    with agent() as c:
        end = put(c, tmp_path, entry("file", ""), frame(HOLE, struct.pack("<Q", 1 << 30)),
                  frame(INPUT, b"x" * 4096), frame(HOLE, struct.pack("<Q", 1 << 32)),
                  kind="file", name="f")
    assert end["bytes"] == str((1 << 30) + 4096 + (1 << 32))
    st = (tmp_path / "f").stat()
    assert st.st_size == int(end["bytes"]) and st.st_blocks * 512 < 1 << 20
    with open(tmp_path / "f", "rb") as f:
        f.seek(1 << 30)
        assert f.read(4097) == b"x" * 4096 + b"\0"


def test_where_it_goes(agent, tmp_path):
    def file(path, **options):
        with agent() as c:
            return put(c, path, entry("file", ""), frame(INPUT, b"new"), kind="file", **options)

    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to("there")
    (tmp_path / "folder").mkdir()
    assert file(tmp_path / "there", name="x")["code"] == "0"
    assert (tmp_path / "there").read_text() == "new"
    (tmp_path / "there").write_text("old")
    assert file(tmp_path / "link", name="x")["code"] == "0"
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "new"
    assert file(tmp_path / "folder", name="x")["code"] == "0"
    assert (tmp_path / "folder/x").read_text() == "new"
    assert file(tmp_path / "not yet", name="x")["code"] == "0"
    assert (tmp_path / "not yet").read_text() == "new"
    for path, words in ((str(tmp_path) + "/nothing/", "is no folder that exists"),
                        (tmp_path / "a/b", "No such file"), ("/dev/null", "neither file nor"),
                        ("", "there is no path"), (str(tmp_path) + "/there/", "Not a directory")):
        assert words in file(path, name="x")["error"]
    for name in ("..", ".", "", "a/b", "x" * 256):
        assert "is no name in a folder" in file(tmp_path, name=name)["error"]
    with agent() as c:
        assert "a folder cannot be copied to it" in put(c, tmp_path / "there", name="x")["error"]
    with agent() as c:
        assert "No such file" in put(c, tmp_path / "no")["error"]
    with agent() as c:
        assert put(c, tmp_path / "made", entry("directory", ""), make=1)["code"] == "0"
    assert (tmp_path / "made").is_dir() and not left(tmp_path)


@pytest.mark.parametrize("frames, words", [
    ([entry("file", "../x")], "no path inside"),
    ([entry("file", "/x")], "no path inside"),
    ([entry("file", "a//x")], "no path inside"),
    ([entry("file", "a/./x")], "no path inside"),
    ([entry("file", "a/.")], "no path inside"),
    ([entry("file", "x/")], "no path inside"),
    ([entry("file", "a" * 256)], "no path inside"),
    ([entry("directory", "a/" * 600 + "a")], "more than 512 folders"),
    ([entry("link", "l", "/tmp"), entry("file", "l/x")], "no folder"),
    ([entry("link", "l", "/tmp"), entry("directory", "l")], "no folder"),
    ([entry("link", "l", "/etc"), entry("same", "x", "l/passwd")], "Not a directory|symbolic link"),
    ([entry("same", "x", "../../../etc/passwd")], "no path inside"),
    ([entry("same", "x", "/etc/passwd")], "no path inside"),
    ([entry("same", "x", "not there")], "No such file"),
    ([entry("link", "l", "")], "link to nothing"),
    ([entry("device", "x")], "entry is none"),
    ([entry("file", "x", "target")], "entry is none"),
    ([entry("link", "x")], "entry is none"),
    ([frame(ENTRY, b"type=file\0mode=0\0")], "entry is none"),
    ([frame(ENTRY, b"type=file\0path=x")], "entry is none"),
    ([entry("file", "x", mode=0o10000)], "entry is none"),
    ([entry("file", "x", uid=1 << 32)], "entry is none"),
    ([entry("file", "x", mtime_ns=1 << 63)], "entry is none"),
    ([frame(INPUT, b"x")], "no place in a tree"),
    ([entry("directory", "d"), frame(INPUT, b"x")], "no place in a tree"),
    ([frame(REQUEST, b"do=info\0")], "no place in a tree"),
    ([frame(OUTPUT, b"x")], "no place in a tree"),
    ([entry("file", "x"), frame(HOLE, b"\xff" * 8)], "larger than a file can be"),
    ([entry("file", "x"), 2 * frame(HOLE, struct.pack("<Q", 1 << 62))], "larger|too large"),
    ([b"\x0b\0\0\0"], "is no frame"),
    ([frame(HOLE, b"1234")], "is no frame"),
])
def test_a_client_that_is_hostile(agent, tmp_path, frames, words):
    (tmp_path / "t").mkdir()
    with agent() as c:
        end = put(c, tmp_path / "t", *frames)
    assert end["code"] == "1" and any(w in end["error"] for w in words.split("|")), end
    assert not left(tmp_path) and os.listdir(tmp_path) == ["t"]


def test_no_root_no_entries(agent, tmp_path):
    with agent() as c:
        end = put(c, tmp_path / "new", entry("file", "x"), name="n")
    assert "is in no folder" in end["error"]
    with agent() as c:
        end = put(c, tmp_path / "new", entry("directory", ""), entry("directory", ""), name="n")
    assert "two roots" in end["error"]


def begin(agent, path):
    """A client in the middle of a file."""
    c = agent()
    reply = c.ask(("do", "put"), ("path", path), ("type", "file"), ("name", "f"))
    assert reply == {"version": "1"}
    c.socket.sendall(entry("file", "") + frame(INPUT, b"x" * 65536))
    wait_until(lambda: left(path))
    return c


def test_a_client_that_goes_leaves_nothing(agent, tmp_path):
    begin(agent, tmp_path).socket.close()
    wait_until(lambda: not os.listdir(tmp_path))


def test_the_time_is_limited(agent, tmp_path):
    with agent() as c:
        c.ask(("do", "put"), ("path", tmp_path), ("type", "file"), ("name", "f"),
              ("timeout_ms", 300))
        c.socket.sendall(entry("file", ""))
        kind, data = c.receive()
        assert kind == EXIT and pairs(data)[b"code"] == b"124"
    assert not os.listdir(tmp_path)


def test_nobody_waits_for_another(agent, tmp_path):
    """Clients that stand still, also one that does not read, keep nobody."""
    big = tmp_path / "big"
    big.write_bytes(bytes(8 << 20))
    (tmp_path / "in").mkdir()
    idle = [begin(agent, tmp_path / "in") for _ in range(3)]
    reader = agent()
    reader.ask(("do", "get"), ("path", big))
    start = time.monotonic()
    for _ in range(10):
        with agent() as c:
            assert c.ask(("do", "info"))["version"] == "1"
    assert time.monotonic() - start < 2
    for c in idle + [reader]:
        c.socket.close()
    wait_until(lambda: not left(tmp_path))


def test_copies_are_limited(agent, tmp_path):
    clients = [agent() for _ in range(65)]
    replies = [c.ask(("do", "put"), ("path", tmp_path), ("type", "directory")) for c in clients]
    assert sum("error" in r for r in replies) == 1
    assert "64 copies on the way already" in replies[-1]["error"]
    for c in clients:
        c.socket.close()

    def room():
        with agent() as c:
            return "error" not in c.ask(("do", "put"), ("path", tmp_path), ("type", "directory"))
    wait_until(room)


@pytest.mark.skipif(os.getuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_full(agent, tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", tmp_path]).returncode:
        pytest.skip("no tmpfs can be mounted here")
    try:
        with agent() as c:
            end = put(c, tmp_path, entry("file", ""), *[frame(INPUT, bytes(65536))] * 64,
                      kind="file", name="f")
        assert end["code"] == "1" and end["error"] == "'f': No space left on device"
        assert not os.listdir(tmp_path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)


# ---- out ------------------------------------------------------------------------------

def test_a_tree_comes_out(agent, tmp_path):
    data = os.urandom(300000)
    (tmp_path / "d").mkdir(mode=0o700)
    (tmp_path / "d/f").write_bytes(data)
    os.link(tmp_path / "d/f", tmp_path / "d/g")
    os.utime(tmp_path / "d/f", ns=(5, 1234567890123456789))
    (tmp_path / "l").symlink_to("d")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "socket"))
    with agent() as c:
        reply, found, end = get(c, tmp_path)
    assert reply["type"] == "directory" and end["code"] == "0"
    assert end["entries"] == str(len(found)) and end["bytes"] == "300000"
    assert found[0][0][b"path"] == b"" and found[0][0][b"type"] == b"directory"
    by = {e[b"path"]: (e, bytes(d)) for e, d in found}
    assert by[b"d"][0][b"mode"] == str(0o700).encode()
    first, second = (b"d/f", b"d/g") if b"size" in by[b"d/f"][0] else (b"d/g", b"d/f")
    assert by[first][1] == data and by[first][0][b"mtime_ns"] == b"1234567890123456789"
    assert by[second][0] == {b"type": b"same", b"path": second, b"target": first}
    assert by[b"l"][0][b"target"] == b"d"
    assert by[b"fifo"][0] == {b"type": b"skipped", b"path": b"fifo", b"target": b"a FIFO"}
    assert by[b"socket"][0][b"target"] == b"a socket"


def test_names_are_bytes(agent, tmp_path):
    for name in NAMES:
        with open(os.fsencode(tmp_path) + b"/" + name, "wb") as f:
            f.write(name)
    with agent() as c:
        _, found, _ = get(c, tmp_path)
    assert {e[b"path"]: bytes(d) for e, d in found[1:]} == {n: n for n in NAMES}


def test_links_at_the_root(agent, tmp_path):
    (tmp_path / "f").write_text("data")
    (tmp_path / "l").symlink_to("f")
    with agent() as c:
        reply, found, _ = get(c, tmp_path / "l")
        assert reply["type"] == "link" and found[0][0][b"target"] == b"f"
    with agent() as c:
        reply, found, _ = get(c, tmp_path / "l", follow=1)
        assert reply == {"version": "1", "type": "file", "size": "4"} and found[0][1] == b"data"


def test_holes_come_out_as_holes(agent, tmp_path):
    with open(tmp_path / "f", "wb") as f:
        f.seek(1 << 40)
        f.write(b"end")
        f.truncate(1 << 41)
    with agent() as c:
        c.ask(("do", "get"), ("path", tmp_path / "f"))
        total, kinds = 0, set()
        while True:
            kind, data = c.receive()
            kinds.add(kind)
            if kind == EXIT:
                break
            if kind != ENTRY:
                total += struct.unpack("<Q", data)[0] if kind == HOLE else len(data)
    assert total == 1 << 41 and HOLE in kinds


@pytest.mark.parametrize("path, words", [
    ("/no/such", "'/no/such': No such file"), ("/dev/null", "is a device"), ("", "no path"),
])
def test_what_cannot_come_out(agent, path, words):
    with agent() as c:
        reply, _, _ = get(c, path)
        assert words in reply["error"] and reply["code"] == "1"


def test_the_kernels_files_stay(agent):
    with agent() as c:
        c.ask(("do", "get"), ("path", "/"), ("timeout_ms", 20000))
        while True:
            kind, data = c.receive()
            if kind == ENTRY and pairs(data)[b"path"] == b"proc":
                assert pairs(data)[b"type"] == b"skipped"
                return
            assert kind != EXIT


def test_a_hundred_megabytes_both_ways(agent, tmp_path):
    data = os.urandom(1 << 20) * 100
    with agent() as c:
        end = put(c, tmp_path, entry("file", ""),
                  *[frame(INPUT, data[i:i + 65536]) for i in range(0, len(data), 65536)],
                  kind="file", name="f")
        assert end["code"] == "0"
    with agent() as c:
        _, found, _ = get(c, tmp_path / "f")
    assert hashlib.sha256(found[0][1]).digest() == hashlib.sha256(data).digest()


def test_many_at_once(agent, tmp_path):
    failures = []

    def one(n):
        try:
            with agent() as c:
                end = put(c, tmp_path, entry("directory", ""),
                          *[entry("file", "%d" % i) + frame(INPUT, b"%d" % n)
                            for i in range(100)], name=str(n))
                assert end["code"] == "0", end
        except BaseException as e:
            failures.append(e)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30)
    assert not failures
    assert sum(len(f) for _, _, f in os.walk(tmp_path)) == 2000


def test_the_program_is_small():
    assert os.path.getsize(PROGRAM) < 300 * 1000


# ---- the examples of proto/agent.md ---------------------------------------------------

def examples():
    """Frames in the order of the text, each line of hexadecimal ended by its words."""
    text = open(os.path.join(os.path.dirname(__file__), "../../proto/agent.md")).read()
    out = bytearray()
    for line in re.findall(r"^    +((?:[0-9a-f]{2} +)*[0-9a-f]{2})(?:  |$)", text, re.M):
        out += bytes.fromhex(line)
    frames = []
    while out:
        n = 4 + (struct.unpack_from("<I", out)[0] >> 8)
        assert n <= len(out), "an example is not whole"
        frames.append(bytes(out[:n]))
        del out[:n]
    return frames


def test_the_examples_are_true(agent):
    *others, ready, ended = examples()  # the last two: test_report.py
    info, reply, put_, *tree, end = others
    with agent() as c:
        c.socket.sendall(info)
        kind, data = c.receive()
        assert kind == reply[0] and pairs(data)[b"version"] == pairs(reply[4:])[b"version"]
    name = "/tmp/f.%d" % os.getpid()  # the example's own name may be somebody's
    put_ = frame(REQUEST, put_[4:].replace(b"path=/tmp\0", b"path=%s\0" % name.encode()))
    with agent() as c:
        c.socket.sendall(put_ + b"".join(tree))
        assert c.receive() == (REPLY, b"version=1\0")
        assert frame(*c.receive()) == end
    try:
        st = os.stat(name)
        assert (st.st_size, stat.S_IMODE(st.st_mode)) == (4098, 0o644)
        with open(name, "rb") as f:
            assert f.read() == b"hi" + bytes(4096)
    finally:
        os.unlink(name)
