# SPDX-License-Identifier: MIT OR Apache-2.0
"""SOCKS5 into a guest: microvm socks, the setting, a proxy in the guest, curl and ssh's
way of using it."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

from test_exec import place  # noqa: F401: a fixture
from test_proxy import read_all, read_just, reply, socks_request

PROXY = os.environ.get("MICROVM_INBOUND", "")
MIB = 1 << 20


def begin(place, name):  # noqa: F811
    """A machine with a proxy and a web server, both of which see the guest's own
    loopback; a SOCKS server of its own."""
    if not os.path.exists(PROXY):
        pytest.skip("no inbound-proxy in this build")
    r = place("run", "-d", "--name", name, *place.guest, "--vsock", "cid=5", "--socks", "0", timeout=60)
    assert r.returncode == 0, r
    assert place("cp", PROXY, name + ":/inbound-proxy").returncode == 0
    script = ("mkdir -p /www /etc; echo 127.0.0.1 localhost > /etc/hosts; head -c 67108864 /dev/urandom > /www/big; "
              "yes 0123456789abcdef | tr -d '\\n' | head -c 1048576 >/www/some; echo inside > /www/index.html;"
              "busybox httpd -p 127.0.0.1:8000 -h /www; setsid /inbound-proxy </dev/null >/dev/null 2>&1 &")
    r = place("exec", name, "sh", "-c", script, timeout=60)
    assert r.returncode == 0, r


@pytest.fixture(scope="module")
def vpn(kvm, place):  # noqa: F811
    begin(place, "vpn")
    yield place
    place("kill", "vpn")


class Server:
    """microvm socks in the foreground."""

    def __init__(self, vpn, *options, name="vpn"):
        self.process = subprocess.Popen([vpn.path, "socks", *options, name], env=vpn.env,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        assert line.startswith("SOCKS5 at 127.0.0.1:"), (line, self.process.stderr.read())
        self.port = int(line.rsplit(":", 1)[1])

    def connect(self, host="127.0.0.1", port=8000):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        s.sendall(b"\5\1\0" + socks_request(host, port))
        assert read_just(s, 2) == b"\5\0"
        return s

    def end(self):
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=10)


@pytest.fixture
def server(vpn):
    s = Server(vpn, "--listen", "127.0.0.1:0")
    yield s
    s.end()


def test_curl(vpn, server):
    """What only the guest sees; names are looked up there."""
    curl = ["curl", "-sS", "--max-time", "20", "--socks5-hostname", "127.0.0.1:%d" % server.port]
    for host in ("127.0.0.1", "localhost"):
        r = subprocess.run(curl + ["http://%s:8000/" % host], stdout=subprocess.PIPE)
        assert r.stdout == b"inside\n"
    r = subprocess.run(curl + ["http://127.0.0.1:8000/big"], stdout=subprocess.PIPE)
    want = vpn("exec", "vpn", "sha256sum", "/www/big").stdout.decode().split()[0]
    assert (r.returncode, len(r.stdout)) == (0, 64 * MIB) and hashlib.sha256(r.stdout).hexdigest() == want


@pytest.mark.parametrize("half", [False, True])
def test_a_slow_reader_gets_all(vpn, server, half):
    """Long after the guest has said all, and closed: bytes, and then an end that is one."""
    s = server.connect()
    s.sendall(b"GET /some HTTP/1.0\r\n\r\n")
    if half:
        s.shutdown(socket.SHUT_WR)
    assert read_just(s, 10) == reply(0)
    time.sleep(1)  # all of it is in buffers of ours and the system's
    head, _, body = read_all(s).partition(b"\r\n\r\n")
    assert b" 200 " in head and body == b"0123456789abcdef" * (MIB // 16)


def test_the_guests_reply_is_the_clients(server):
    assert read_just(server.connect(), 10) == reply(0)
    assert read_all(server.connect(port=9)) == reply(5), "nobody listens there"
    assert read_all(server.connect(host="no.such.name.invalid")) in (reply(1), reply(4))


def test_proxy_command(server):
    """As ssh uses it: ProxyCommand='ncat --proxy-type socks5 --proxy 127.0.0.1:1080 %h %p'."""
    r = subprocess.run(["ncat", "--proxy-type", "socks5", "--proxy", "127.0.0.1:%d" % server.port, "127.0.0.1", "8000"],
                       input=b"GET / HTTP/1.0\r\n\r\n", stdout=subprocess.PIPE, timeout=20)
    assert r.stdout.endswith(b"inside\n")


def test_many_at_once(vpn, server):
    """200, each whole."""
    results = []

    def fetch():
        s = server.connect()
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        results.append(read_all(s))
    threads = [threading.Thread(target=fetch) for _ in range(200)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    good = [r for r in results if r.startswith(reply(0)) and r.endswith(b"inside\n")]
    assert len(good) == 200, "%d, of %d" % (len(good), len(results))


def test_with_a_password(vpn, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s3,cret\n")
    s = Server(vpn, "--listen", "127.0.0.1:0", "--user", "me", "--password-file", str(secret))
    try:
        for password, status in (("s3,cret", 0), ("wrong", 97)):  # curl: CURLE_PROXY
            r = subprocess.run(["curl", "-sS", "--socks5-hostname", "127.0.0.1:%d" % s.port, "--proxy-user",
                                "me:" + password, "http://127.0.0.1:8000/"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
            assert r.returncode == status and (r.stdout == b"inside\n") == (status == 0), r
    finally:
        s.end()


def test_ctrl_c_closes_it(vpn):
    s = Server(vpn, "--listen", "127.0.0.1:0")
    made = s.connect()
    assert read_just(made, 10) == reply(0)
    s.end()
    until = time.time() + 5
    while time.time() < until:
        try:
            socket.create_connection(("127.0.0.1", s.port)).close()
            time.sleep(0.05)
        except ConnectionRefusedError:
            break
    else:
        raise AssertionError("it still listens")
    made.sendall(b"GET / HTTP/1.0\r\n\r\n")  # one that is made stays
    assert read_all(made).endswith(b"inside\n")


def test_one_that_is_left_open_and_closed(vpn):
    r = vpn("socks", "-d", "--listen", "127.0.0.1:0", "vpn")
    assert r.returncode == 0, r
    address = r.stdout.decode().split()[-1]
    host, port = address.rsplit(":", 1)
    socket.create_connection((host, int(port))).close()
    assert vpn("socks", "--close", address, "vpn").returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((host, int(port)))
    r = vpn("socks", "--close", address, "vpn")
    assert r.returncode == 125 and b"nobody listens" in r.stderr


def test_one_closes_only_its_own(vpn):
    """Whose server was closed by somebody else closes nobody's at the same address."""
    s = Server(vpn, "--listen", "127.0.0.1:0")
    address = "127.0.0.1:%d" % s.port
    assert vpn("socks", "--close", address, "vpn").returncode == 0
    assert vpn("socks", "-d", "--listen", address, "vpn").returncode == 0
    s.end()
    time.sleep(0.5)
    socket.create_connection(("127.0.0.1", s.port)).close()
    assert vpn("socks", "--close", address, "vpn").returncode == 0


@pytest.mark.parametrize("words,says", [
    (["--listen", "0.0.0.0:0"], "password"), (["--listen", "x"], "address"), (["--user", "me"], "--password-file"),
    (["--user", "me", "--password-file", "/nonexistent"], "/nonexistent"), (["--port", "0"], "port"),
    (["--user", "," * 3000, "--password-file", "/etc/hostname"], "--user"), (["--port", "," * 3000], "--port"),
    (["--listen", "," * 3000], "--listen")])
def test_refusals(vpn, words, says):
    r = vpn("socks", *words, "vpn")
    assert r.returncode == 125 and says in r.stderr.decode(), r


def test_without_a_socket_device(kvm, place):  # noqa: F811
    r = place("run", *place.guest, "--socks", "1080")
    assert r.returncode == 125 and b"vsock" in r.stderr


def cut_within(s, seconds):
    """All that comes is a part, and who reads it learns that."""
    s.settimeout(seconds)
    with pytest.raises(ConnectionResetError):
        while s.recv(MIB):
            pass
        raise AssertionError("an end, as if all had come")


def test_the_proxy_dies(vpn, server):
    """Who is connected hears of it at once, who comes is told within seconds."""
    s, busy = server.connect(), server.connect()
    busy.sendall(b"GET /big HTTP/1.0\r\n\r\n")
    assert read_just(s, 10) == reply(0) and read_just(busy, 10) == reply(0)
    assert vpn("exec", "vpn", "killall", "-9", "inbound-proxy").returncode == 0
    cut_within(s, 3)
    cut_within(busy, 3)
    began = time.time()
    assert read_all(server.connect()) == reply(1)
    assert time.time() - began < 10
    assert vpn("exec", "vpn", "sh", "-c", "setsid /inbound-proxy </dev/null >/dev/null 2>&1 &").returncode == 0
    assert read_just(server.connect(), 10) == reply(0)


@pytest.mark.parametrize("how", ["killed", "its process is killed"])
def test_the_machine_dies(vpn, how):
    begin(vpn, "dies")
    server = Server(vpn, "--listen", "127.0.0.1:0", name="dies")
    s, busy = server.connect(), server.connect()
    busy.sendall(b"GET /big HTTP/1.0\r\n\r\n")
    assert read_just(s, 10) == reply(0) and read_just(busy, 10) == reply(0)
    if how == "killed":
        assert vpn("kill", "dies").returncode == 0
    else:
        (pid,) = [m["pid"] for m in json.loads(vpn("ps", "--json").stdout) if m["name"] == "dies"]
        os.kill(pid, signal.SIGKILL)
    cut_within(s, 3)
    cut_within(busy, 3)
    server.process.wait(10)
