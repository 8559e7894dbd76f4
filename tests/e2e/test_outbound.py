# SPDX-License-Identifier: MIT OR Apache-2.0
"""Ways out by the host (proto/outbound.md): outbound-proxy run here before a host that a
test plays, and in a guest whose connections this computer makes, where it may."""
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import protocol
from test_exec import place  # noqa: F401: a fixture
from test_proxy import free_port, read_all, read_just, reply, socks_request

PROXY = os.environ.get("MICROVM_OUTBOUND", "build/guest/outbound-proxy")
INBOUND = os.environ.get("MICROVM_INBOUND", "build/guest/inbound-proxy")
MIB = 1 << 20


def head(kind, key, length):
    return struct.pack("<BQI", kind, key, length)


def data(key, payload):
    return head(3, key, len(payload)) + payload


def response(key, status):
    return head(2, key, 4) + bytes([2, status, 0, 0])


class Guest:
    """The program, and its host: a socket of ours."""

    def __init__(self):
        if not os.path.exists(PROXY):
            pytest.skip("no outbound-proxy: it is built where musl-gcc is")
        self.host = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.host.settimeout(10)
        self.port = free_port()
        self.process = subprocess.Popen([PROXY, "-l", "127.0.0.1:%d" % self.port, "-c",
                                         "127.0.0.1:%d" % self.host.getsockname()[1]])
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise AssertionError("it does not listen")

    def client(self, request, more=b""):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        s.sendall(b"\5\1\0" + request + more)
        assert read_just(s, 2) == b"\5\0"
        return s

    def accept(self):
        """The host's end, and what is asked of it."""
        c = self.host.accept()[0]
        c.settimeout(10)
        kind, key, length = struct.unpack("<BQI", read_just(c, 13))
        assert kind == 1
        return c, key, read_just(c, length)

    def made(self, more=b""):
        s = self.client(socks_request("host", 443), more)
        c, key, _ = self.accept()
        c.sendall(response(key, 0))
        assert read_just(s, 10) == reply(0)
        return s, c, key


@pytest.fixture(scope="module")
def guest():
    g = Guest()
    yield g
    g.process.kill()
    g.process.wait()


def payload(c, key, n):
    """So many bytes of the stream, out of its packets."""
    got = bytearray()
    while len(got) < n:
        kind, k, length = struct.unpack("<BQI", read_just(c, 13))
        assert (kind, k) == (3, key) and 0 < length <= 8192
        got += read_just(c, length)
    assert len(got) == n
    return bytes(got)


def test_what_is_asked(guest):
    keys = set()
    for request, asked in ((socks_request("host", 443), b"\1\3\4\0host\xbb\1"),
                           (b"\5\1\0\1\x7f\0\0\1\0\x16", b"\1\1\4\0\x7f\0\0\1\x16\0"),
                           (b"\5\1\0\4" + bytes(range(16)) + b"\0\x50", b"\1\4\x10\0" + bytes(range(16)) + b"\x50\0")):
        s = guest.client(request)
        c, key, said = guest.accept()
        assert said == asked
        keys.add(key)
        s.close()
        c.close()
    assert len(keys) == 3


@pytest.mark.parametrize("status,answer", [(1, 1), (2, 5), (3, 4), (4, 3), (5, 4), (6, 4), (7, 2), (99, 1)])
def test_refusals(guest, status, answer):
    s = guest.client(socks_request("host", 443))
    c, key, _ = guest.accept()
    c.sendall(response(key, status))
    assert read_all(s) == reply(answer)
    assert read_all(c) == b""


@pytest.mark.parametrize("request_,answer", [
    (b"\5\2\0\1\x7f\0\0\1\0\x16", reply(7)), (b"\5\1\0\2\x7f\0\0\1", reply(8)), (b"\5\1\0\1\x7f\0\0\1\0\0", reply(1))])
def test_what_is_not_even_asked(guest, request_, answer):
    assert read_all(guest.client(request_)) == answer


@pytest.mark.parametrize("kind,data,words", protocol.examples("proxy.md", "METHODS", "REQUEST"), ids=protocol.ids)
def test_every_example_of_socks_is_told(guest, kind, data, words):
    with socket.create_connection(("127.0.0.1", guest.port), timeout=10) as s:
        if kind == "REQUEST":
            s.sendall(b"\5\1\0")
            assert read_just(s, 2) == protocol.bytes_of("proxy.md", "METHOD", "none")
        s.sendall(data)
        if words == "more":
            s.settimeout(0.2)
            with pytest.raises(TimeoutError):
                s.recv(1)
        elif words == "wrong":
            assert s.recv(1) == b""
        elif kind == "METHODS":  # whatever is offered
            assert read_just(s, 2) == protocol.bytes_of("proxy.md", "METHOD", "none")
        elif words.startswith("refused"):
            assert read_all(s) == protocol.bytes_of("proxy.md", "REPLY", words.split()[1])
        else:
            c, _, asked = guest.accept()
            c.close()
            name, port = words.split()
            assert int(port) == int.from_bytes(asked[-2:], "little") and asked[1:2] == data[3:4]
            assert name.encode() == asked[4:-2] or asked[1] in (1, 4)


@pytest.mark.parametrize("kind,data,words", protocol.examples("outbound.md", "RESPONSE"), ids=protocol.ids)
def test_every_example_of_the_host_is_told(guest, kind, data, words):
    """With the key that was asked with in the place of the example's 1."""
    s = guest.client(socks_request("host", 443))
    c, key, _ = guest.accept()
    c.sendall(data[:1] + struct.pack("<Q", key - 1 + int.from_bytes(data[1:9], "little")) + data[9:])
    if words == "more":
        s.settimeout(0.2)
        with pytest.raises(TimeoutError):
            s.recv(1)
    else:
        answer = {"1 0": 0, "1 2": 5, "1 1": 1, "wrong": 1}[words]
        assert read_just(s, 10) == protocol.bytes_of("proxy.md", "REPLY", answer)
        if answer:
            assert s.recv(1) == b""
    s.close()
    c.close()


@pytest.mark.parametrize("kind,data,words", protocol.examples("outbound.md", "STREAM"), ids=protocol.ids)
def test_every_example_of_a_stream_is_told(guest, kind, data, words):
    s, c, key = guest.made()
    heads, at = data, 0
    while at + 13 <= len(heads):  # the key of this connection in each head that has the example's
        length = int.from_bytes(heads[at + 9:at + 13], "little")
        own = key - 1 + int.from_bytes(heads[at + 1:at + 9], "little")
        heads = heads[:at + 1] + struct.pack("<Q", own) + heads[at + 9:]
        at += 13 + length
    c.sendall(heads)
    if words == "wrong":
        with pytest.raises((ConnectionResetError, AssertionError)):
            read_just(s, 1000)
    else:
        payload, _, end = words.partition(" ")
        assert read_just(s, len(payload) // 2).hex() == payload
        if end:
            assert s.recv(1) == b""
    s.close()
    c.close()


def test_both_ways_in_pieces(guest):
    s, c, key = guest.made(b"already there")
    assert payload(c, key, 13) == b"already there"
    for i in range(49):
        c.sendall((data(key, b"in pieces") + data(key, b"") + data(key, b"!"))[i:i + 1])
        time.sleep(0.001)
    assert read_just(s, 10) == b"in pieces!"


def test_each_direction_ends_by_itself(guest):
    s, c, key = guest.made()
    s.sendall(b"all")
    s.shutdown(socket.SHUT_WR)
    assert payload(c, key, 3) == b"all"
    assert read_all(c) == head(4, key, 0)
    c.sendall(data(key, b"still here") + head(4, key, 0))
    assert read_all(s) == b"still here"

    s, c, key = guest.made()
    c.sendall(data(key, b"bye") + head(4, key, 0))
    assert read_all(s) == b"bye"
    s.sendall(b"more")
    assert payload(c, key, 4) == b"more"
    s.close()
    assert read_all(c) == head(4, key, 0)


@pytest.mark.parametrize("what", [
    lambda k: b"", lambda k: b"\xff" * 13, lambda k: head(3, k + 1, 1) + b"x", lambda k: head(5, k, 0),
    lambda k: head(4, k, 1) + b"x", lambda k: head(4, k, 0) + head(3, k, 1) + b"x", lambda k: head(2, k, 4) + b"\2\0\0\0",
    lambda k: head(3, k, 0xffffffff) + b"part"])
def test_a_host_that_is_cut_off_or_talks_nonsense(guest, what):
    """The client gets a reset, never an end, or it had the end already."""
    s, c, key = guest.made()
    c.sendall(what(key))
    c.close()
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        got = read_all(s)
        assert what(key)[:1] == b"\4" and got == b""  # the end of that direction has come
        for _ in range(100):
            s.sendall(b"x")
            time.sleep(0.02)


@pytest.mark.parametrize("what", [lambda k: b"x" * 17, lambda k: response(k + 1, 0), lambda k: response(k, 0)[:9],
                                  lambda k: data(k, b"early"), lambda k: b""])
def test_answers_that_are_none(guest, what):
    s = guest.client(socks_request("host", 443))
    c, key, _ = guest.accept()
    c.sendall(what(key))
    if what(key) in (b"", response(key, 0)[:9]):
        c.shutdown(socket.SHUT_WR)
    assert read_all(s) == reply(1)
    c.close()


def test_a_client_that_is_gone(guest):
    """Cut off, the host gets an end without a Close."""
    s, c, key = guest.made()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    assert read_all(c) == b""


def test_slow_ends_lose_nothing(guest):
    s, c, key = guest.made()
    piece = os.urandom(MIB)
    threads = [threading.Thread(target=lambda: [s.sendall(piece) for _ in range(16)], daemon=True),
               threading.Thread(target=lambda: [c.sendall(data(key, piece)) for _ in range(16)], daemon=True)]
    for t in threads:
        t.start()
    time.sleep(0.5)
    for _ in range(16):
        assert read_just(s, MIB) == piece
    got = payload(c, key, 16 * MIB)
    assert hashlib.sha256(got).digest() == hashlib.sha256(piece * 16).digest()


def test_memory_and_descriptors(guest):
    def status(field):
        with open("/proc/%d/status" % guest.process.pid) as f:
            return int(next(l for l in f if l.startswith(field)).split()[1])

    def descriptors():
        return len(os.listdir("/proc/%d/fd" % guest.process.pid))
    time.sleep(0.3)
    before, files = status("VmRSS"), descriptors()
    held = [guest.made() for _ in range(1000)]
    assert status("VmRSS") - before < 1000 * 4, "4 KiB each"
    turns = status("voluntary")
    time.sleep(1.5)
    assert status("voluntary") - turns <= 2, "idle, it sleeps"
    for s, c, _ in held:
        s.close()
        c.close()
    until = time.time() + 10
    while descriptors() > files and time.time() < until:
        time.sleep(0.05)
    assert descriptors() <= files


@pytest.mark.parametrize("words,says", [(["--vsock-port", "x"], "port"), (["--listen", "1080"], "ADDR:PORT"),
                                        (["--connect", "x:1"], "IPv4"), (["word"], "word")])
def test_wrong_words(words, says):
    r = subprocess.run([PROXY, *words], stderr=subprocess.PIPE)
    assert r.returncode == 2 and says in r.stderr.decode()


def test_the_test(guest):
    there = "127.0.0.1:%d" % guest.host.getsockname()[1]
    assert subprocess.run([PROXY, "-t", "-c", there], stdout=subprocess.PIPE).returncode == 0
    guest.host.accept()[0].close()
    r = subprocess.run([PROXY, "-t", "-c", "127.0.0.1:%d" % free_port()], stderr=subprocess.PIPE)
    assert r.returncode == 1 and b"--outbound" in r.stderr


# -- in a guest ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def out(kvm, place):  # noqa: F811
    """A machine named out that has no network: its outbound-proxy is reached through its
    inbound-proxy, so that a test is every program of the guest."""
    if not os.path.exists(PROXY) or not os.path.exists(INBOUND):
        pytest.skip("no proxies in this build")
    r = place("run", "-d", "--name", "out", *place.guest, "--vsock", "cid=5", "--outbound", "deny 127.0.0.2", "--outbound",
              "allow 127.0.0.0/8", "--outbound", "allow localhost", timeout=60)
    assert r.returncode == 0, r
    for program in (PROXY, INBOUND):
        assert place("cp", program, "out:/" + os.path.basename(program)).returncode == 0
    r = place("exec", "out", "sh", "-c", "for p in inbound outbound; do setsid /$p-proxy </dev/null >/dev/null 2>&1 & done", timeout=60)
    assert r.returncode == 0, r
    r = place("socks", "-d", "-l", "127.0.0.1:0", "out")
    assert r.returncode == 0, r
    place.port = int(r.stdout.decode().rsplit(":", 1)[1])
    yield place
    place("kill", "out")


@pytest.fixture(scope="module")
def echo():
    """Gives all back when it has had the end."""
    s = socket.create_server(("127.0.0.1", 0), backlog=2048)

    def serve(c):
        with c:
            try:
                while True:
                    got = c.recv(65536)
                    if not got:
                        break
                    c.sendall(got)
                c.sendall(b"END")
            except OSError:
                pass

    def accept():
        while True:
            try:
                c = s.accept()[0]
            except OSError:
                return
            threading.Thread(target=serve, args=(c,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    yield s.getsockname()[1]
    s.close()


def inside(out):
    """A program of the guest that has connected to its port 1080."""
    s = socket.create_connection(("127.0.0.1", out.port), timeout=60)
    s.sendall(b"\5\1\0" + socks_request("127.0.0.1", 1080))
    assert read_just(s, 12) == b"\5\0" + reply(0)
    return s


def connect(out, host, port):
    s = inside(out)
    s.sendall(b"\5\1\0" + socks_request(host, port))
    assert read_just(s, 2) == b"\5\0"
    return s


def test_the_host_connects(out, echo):
    for host in ("127.0.0.1", "localhost"):
        s = connect(out, host, echo)
        assert read_just(s, 10) == reply(0)
        s.sendall(b"hello")
        assert read_just(s, 5) == b"hello"
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"END"


def test_only_where_it_may(out, echo):
    for host, status in (("127.0.0.2", 2), ("10.0.0.1", 2), ("8.8.8.8", 2), ("example.com", 2), ("0.0.0.0", 2)):
        assert read_all(connect(out, host, echo)) == reply(status), host
    assert read_all(connect(out, "127.0.0.1", free_port())) == reply(5)


def test_500_at_once(out, echo):
    """Each with its own bytes, through two connections of the machine, which has 1,024."""
    def resident_kib():
        r = out("exec", "out", "sh", "-c", "grep VmRSS /proc/$(pidof outbound-proxy)/status")
        return int(r.stdout.split()[1])
    before = resident_kib()
    held = [connect(out, "127.0.0.1", echo) for _ in range(500)]
    for i, s in enumerate(held):
        s.sendall(b"%06d" % i)
    for i, s in enumerate(held):
        assert read_just(s, 16) == reply(0) + b"%06d" % i
    assert resident_kib() - before < 500 * 4, "4 KiB each"
    for s in held:
        s.sendall(b"x")
        s.shutdown(socket.SHUT_WR)
    for s in held:
        assert read_all(s) == b"xEND"


def test_bulk(out, echo):
    """64 MiB there and back, whole."""
    s = connect(out, "127.0.0.1", echo)
    assert read_just(s, 10) == reply(0)
    piece = os.urandom(MIB)
    count = 64 if not os.environ.get("MICROVM_BOOT_FULL") else 1024

    def send():
        for _ in range(count):
            s.sendall(piece)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=send, daemon=True).start()
    for i in range(count):
        assert read_just(s, MIB) == piece, i
    assert read_all(s) == b"END"


def test_a_target_that_resets(out):
    with socket.create_server(("127.0.0.1", 0)) as server:
        s = connect(out, "127.0.0.1", server.getsockname()[1])
        c = server.accept()[0]
        assert read_just(s, 10) == reply(0)
        c.sendall(b"part")
        assert read_just(s, 4) == b"part"
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
        s.settimeout(5)
        try:
            assert s.recv(1) == b"", "nothing more; a reset where the way knows one"
        except ConnectionResetError:
            pass


def test_the_machine_dies(out, echo):
    """The target hears that this was not all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        s = connect(out, "127.0.0.1", server.getsockname()[1])
        c = server.accept()[0]
        assert read_just(s, 10) == reply(0)
        s.sendall(b"part")
        assert read_just(c, 4) == b"part"
        c.settimeout(5)
        out("kill", "out")
        with pytest.raises(ConnectionResetError):
            c.recv(1)


def test_without_rules_nobody_is_there(kvm, place):  # noqa: F811
    r = place("run", "-d", "--name", "shut", *place.guest, "--vsock", "cid=6", timeout=60)
    assert r.returncode == 0, r
    try:
        assert place("cp", PROXY, "shut:/outbound-proxy").returncode == 0
        r = place("exec", "shut", "/outbound-proxy", "--test")
        assert r.returncode == 1 and b"--outbound" in r.stderr, r
    finally:
        place("kill", "shut")


@pytest.mark.parametrize("words,says", [(["--outbound", "allow x"], "vsock"), (["--vsock", "cid=5", "--outbound", "x"], "outbound 'x'"),
                                        (["--vsock", "cid=5", "--outbound", "allow 1.2.3.4/99"], "range")])
def test_wrong_settings(kvm, place, words, says):  # noqa: F811
    r = place("run", *place.guest, *words)
    assert r.returncode == 125 and says in r.stderr.decode(), r
