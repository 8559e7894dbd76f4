# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest's inbound proxy, run here and spoken to over TCP, as WSL2 has it: requests
(proto/proxy.md), what becomes of connections that cannot be made, both ends' ends,
many at once, and a tunnel that comes and goes."""
import contextlib
import hashlib
import os
import resource
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import protocol

PROXY = os.environ.get("MICROVM_INBOUND", "build/guest/inbound-proxy")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Proxy:
    def __init__(self, *options):
        self.port = free_port()
        self.process = subprocess.Popen([PROXY, "--listen", "127.0.0.1:%d" % self.port, *options])
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise AssertionError("it does not listen")

    def send(self, data):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        s.sendall(data)
        return s

    def bare(self, host, port, data=b""):
        return self.send(bytes([len(host)]) + host.encode() + struct.pack(">H", port) + data)

    def socks(self, host, port, command=1):
        return self.send(b"\0\1" + socks_request(host, port, command))

    def end(self):
        self.process.kill()
        self.process.wait()


def socks_request(host, port, command=1):
    return bytes([5, command, 0, 3, len(host)]) + host.encode() + struct.pack(">H", port)


def reply(status):
    return bytes([5, status, 0, 1, 0, 0, 0, 0, 0, 0])


def read_all(s):
    data = b""
    while True:
        piece = s.recv(65536)
        if not piece:
            return data
        data += piece


def each_has_its_own(held):
    """Connections to an echo, open together, each with bytes of its own, then ended in order."""
    for i, s in enumerate(held):
        s.sendall(b"%06d" % i * 1000)
    for i, s in enumerate(held):
        assert read_just(s, 6000) == b"%06d" % i * 1000
        s.shutdown(socket.SHUT_WR)
    for s in held:
        assert read_all(s) == b""
        s.close()


def read_just(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        assert piece, "the end after %r" % data
        data += piece
    return data


@pytest.fixture(scope="module")
def proxy():
    if not os.path.exists(PROXY):
        pytest.skip("no inbound-proxy: it is built where musl-gcc is")
    p = Proxy()
    yield p
    p.end()


@pytest.fixture(scope="module")
def echo():
    """Gives all back when it has had the end."""
    s = socket.create_server(("127.0.0.1", 0), backlog=1024)

    def serve(c):
        with c:
            try:
                while True:
                    data = c.recv(65536)
                    if not data:
                        break
                    c.sendall(data)
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


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_bare_request(proxy, echo, host):
    """Without a reply; what follows the request in the same packet is the stream's."""
    s = proxy.bare(host, echo, b"already")
    assert read_just(s, 7) == b"already"
    s.sendall(b"more")
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b"moreEND"


@pytest.mark.parametrize("piece", [1, 3])
def test_a_request_in_pieces(proxy, echo, piece):
    data = b"\0\1" + socks_request("127.0.0.1", echo) + b"x"
    s = proxy.send(data[:piece])
    for i in range(piece, len(data), piece):
        time.sleep(0.005)
        s.sendall(data[i:i + piece])
    assert read_just(s, 11) == reply(0) + b"x"


def test_refused(proxy):
    port = free_port()
    assert read_all(proxy.socks("127.0.0.1", port)) == reply(5)
    assert read_all(proxy.bare("127.0.0.1", port)) == b""


@pytest.mark.parametrize("data,answer", [
    (b"\0\1" + socks_request("no.such.name.invalid", 80), [reply(1), reply(4)]),
    (b"\0\1" + socks_request("127.0.0.1", 80, command=2), [reply(7)]),
    (b"\0\1\5\1\0\2", [reply(8)]),
    (b"\0\2\5\1\0\1", [b""]),
    (b"\4ho\0t\1\xbb", [b""]),
    (b"\4host\0\0", [b""]),
], ids=lambda v: v.hex() if isinstance(v, bytes) else "")
def test_what_cannot_be_made(proxy, data, answer):
    assert read_all(proxy.send(data + b"\0" * 20)) in answer


@pytest.mark.parametrize("kind,data,words", protocol.examples("proxy.md", "PROXY"), ids=protocol.ids)
def test_every_example_is_told(proxy, kind, data, words):
    """Also what a message means that goes somewhere: that it is tried."""
    with proxy.send(data) as s:
        if words == "more":
            s.settimeout(0.2)
            with pytest.raises(TimeoutError):
                s.recv(1)
        elif words == "wrong":
            assert s.recv(1) == b""
        elif words.startswith("refused"):
            assert read_all(s) == protocol.bytes_of("proxy.md", "REPLY", words.split()[1])
        elif words.startswith("socks"):
            assert read_just(s, 10) in [protocol.bytes_of("proxy.md", "REPLY", n) for n in (0, 1, 3, 4, 5)]


def test_half_close_the_other_way(proxy):
    """The target ends first, and still gets what the client sends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        s = proxy.bare("127.0.0.1", server.getsockname()[1])
        c = server.accept()[0]
        c.sendall(b"bye")
        c.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"bye"
        s.sendall(b"still here")
        s.close()
        assert read_all(c) == b"still here"


def test_a_reset_is_no_end(proxy):
    """Who is cut off must not take what it has for all."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        s = proxy.bare("127.0.0.1", server.getsockname()[1])
        c = server.accept()[0]
        c.sendall(b"part")
        assert read_just(s, 4) == b"part"
        c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
        with pytest.raises(ConnectionResetError):
            s.recv(1)


def test_many_bytes_and_a_slow_reader(proxy, echo):
    """64 MiB there and back, whole, while the reader sleeps now and then."""
    piece = os.urandom(1 << 20)
    s = proxy.bare("127.0.0.1", echo)

    def send():
        for _ in range(64):
            s.sendall(piece)
        s.shutdown(socket.SHUT_WR)
    threading.Thread(target=send, daemon=True).start()
    got, count = hashlib.sha256(), 0
    while True:
        data = s.recv(1 << 20)
        if not data:
            break
        got.update(data)
        count += len(data)
        if count % 7 == 0:
            time.sleep(0.01)
    want = hashlib.sha256()
    for _ in range(64):
        want.update(piece)
    want.update(b"END")
    assert count == (64 << 20) + 3 and got.digest() == want.digest()


def test_many_at_once_hold_little(proxy, echo):
    """500 connections, each with its own bytes, then none is left."""
    def resident_kib():
        with open("/proc/%d/status" % proxy.process.pid) as f:
            return int(next(l for l in f if l.startswith("VmRSS")).split()[1])

    def descriptors():
        return len(os.listdir("/proc/%d/fd" % proxy.process.pid))
    before, files = resident_kib(), descriptors()
    held = [proxy.socks("127.0.0.1", echo) for _ in range(500)]
    for i, s in enumerate(held):
        s.sendall(b"%06d" % i)
    for i, s in enumerate(held):
        assert read_just(s, 16) == reply(0) + b"%06d" % i
    assert resident_kib() - before < 500 * 8, "8 KiB each"
    for s in held:
        s.close()
    until = time.time() + 10
    while descriptors() > files and time.time() < until:
        time.sleep(0.05)
    assert descriptors() <= files


def test_thousands(proxy):
    """4,000 held open; each is whole, also the first, and they cost little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 10000:
        pytest.skip("a process may have only %d descriptors here" % hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as server, contextlib.ExitStack() as held:
            pairs = []
            for _ in range(4000):
                s = held.enter_context(proxy.bare("127.0.0.1", server.getsockname()[1]))
                pairs.append((s, held.enter_context(server.accept()[0])))
            for i, (near, far) in enumerate(pairs):
                near.sendall(b"%06d" % i)
                far.sendall(b"%06d" % -i)
            for i, (near, far) in enumerate(pairs):
                assert read_just(far, 6) == b"%06d" % i and read_just(near, 6) == b"%06d" % -i
            with open("/proc/%d/status" % proxy.process.pid) as f:
                assert int(next(l for l in f if l.startswith("VmRSS")).split()[1]) < 4000 * 8 + 4096
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_who_says_nothing_stops_nobody(proxy, echo):
    silent = [proxy.send(b"") for _ in range(50)] + [proxy.send(b"\0\1\5") for _ in range(50)]
    s = proxy.bare("127.0.0.1", echo, b"x")
    assert read_just(s, 1) == b"x"
    for c in silent:
        c.close()


def test_idle_it_sleeps(proxy, echo):
    """With connections open: no turn without news."""
    def switches():
        with open("/proc/%d/status" % proxy.process.pid) as f:
            return int(next(l for l in f if l.startswith("voluntary")).split()[1])
    s = proxy.bare("127.0.0.1", echo, b"x")
    assert read_just(s, 1) == b"x"
    time.sleep(1)
    before = switches()
    time.sleep(3)
    assert switches() - before <= 1


def test_only_through_a_tunnel_that_is_not_there():
    p = Proxy("--interface", "nosuch0", "--only")
    try:
        assert read_all(p.socks("127.0.0.1", 9)) == reply(2)
        assert read_all(p.socks("localhost", 9)) == reply(2), "no name is asked for either"
    finally:
        p.end()


IN_NAMESPACE = r"""
import os, socket, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from test_proxy import Proxy, read_all, read_just, reply
def ip(*words):
    subprocess.run(("ip",) + words, check=True)
ip("link", "set", "lo", "up")
ip("link", "add", "tun7", "type", "veth", "peer", "name", "far0")
far = subprocess.Popen(["unshare", "-n", sys.executable, "-c", '''
import socket, subprocess, sys
sys.stdin.readline()
def ip(*words): subprocess.run(("ip",) + words, check=True)
ip("addr", "add", "10.77.0.2/24", "dev", "far0"); ip("link", "set", "far0", "up")
s = socket.create_server(("10.77.0.2", 7777)); print("up", flush=True)
held = []
while True:
    c = s.accept()[0]; c.sendall(c.getpeername()[0].encode() + b"\\n"); held.append(c)
'''], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
while os.readlink("/proc/%d/ns/net" % far.pid) == os.readlink("/proc/self/ns/net"):
    time.sleep(0.02)
ip("link", "set", "far0", "netns", str(far.pid))
far.stdin.write(b"\n"); far.stdin.flush()
p = Proxy("--interface", "tun7", "--only")
try:
    assert read_all(p.socks("10.77.0.2", 7777)) == reply(2), "it is down"
    ip("link", "set", "tun7", "up")
    assert read_all(p.socks("10.77.0.2", 7777)) == reply(2), "it has no address yet"
    ip("addr", "add", "fd77::1/64", "dev", "tun7", "nodad")
    assert read_all(p.socks("fd77::9", 7777)) != reply(2), "it has one"
    ip("addr", "del", "fd77::1/64", "dev", "tun7"); ip("addr", "add", "10.77.0.1/24", "dev", "tun7")
    assert far.stdout.readline() == b"up\n"
    s = p.socks("10.77.0.2", 7777)
    assert read_just(s, 20) == reply(0) + b"10.77.0.1\n"
    listener = socket.create_server(("127.0.0.1", 0))
    away = p.socks("127.0.0.1", listener.getsockname()[1])
    listener.settimeout(1)
    try:
        listener.accept(); raise SystemExit("it went around the tunnel")
    except socket.timeout:
        pass
    s.settimeout(3)
    ip("link", "set", "tun7", "down")
    try:
        s.recv(1); raise SystemExit("an end, as if all had come")
    except ConnectionResetError:
        pass
    assert read_all(p.socks("10.77.0.2", 7777)) == reply(2), "it is down again"
    print("WELL")
finally:
    p.end(); far.kill()
"""


def test_a_tunnel_that_comes_and_goes():
    """Sockets are bound to it; when it goes they are reset, and nothing goes around it."""
    if not shutil.which("ip") or subprocess.run(["unshare", "-rn", "true"],
                                                stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no network namespace can be made here")
    r = subprocess.run(["unshare", "-rn", sys.executable, "-c", IN_NAMESPACE, os.path.dirname(__file__)],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert b"WELL" in r.stdout, r.stdout.decode()


@pytest.mark.parametrize("words,says", [(["--port", "x"], "port"), (["--only"], "interface"),
                                        (["--listen", "1080"], "ADDR:PORT"), (["word"], "word")])
def test_wrong_words(words, says):
    r = subprocess.run([PROXY, *words], stderr=subprocess.PIPE)
    assert r.returncode == 2 and says in r.stderr.decode()
