# SPDX-License-Identifier: MIT OR Apache-2.0
"""ssh and curl through `microvm socks`, the guest's proxy and its network to servers that the
guest reaches: Debian's OpenSSH, bytes in bulk, many at once, and what clients see when a
link of that chain is killed.

    ssh -- SOCKS5 --> microvm -- vsock --> inbound-proxy -- the user network --> sshd
"""
import getpass
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

from test_exec import place  # noqa: F401: a fixture
from test_proxy import each_has_its_own, free_port, read_all, read_just, reply
from test_socks import Server

PROXY = os.environ.get("MICROVM_INBOUND", "build/guest/inbound-proxy")
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
HOST = "10.0.2.2"  # this computer, as the guest knows it
MIB = 1 << 20
FULL = bool(os.environ.get("MICROVM_BOOT_FULL"))


@pytest.fixture(scope="module")
def vpn(kvm, place):  # noqa: F811
    """A machine named vpn with a user network and inbound-proxy."""
    if not os.path.exists(PROXY):
        pytest.skip("no inbound-proxy in this build")
    guest = place.guest[:place.guest.index("--cmdline")]
    r = place("run", "-d", "--name", "vpn", *guest, "--cmdline", "quiet microvm.net=10.0.2.15/24,10.0.2.2,10.0.2.3",
              "--net", "user", "--vsock", "cid=5", timeout=60)
    if r.returncode and b"microvm-netd" in r.stderr:
        pytest.skip("no user network in this build")
    assert r.returncode == 0, r
    assert place("cp", PROXY, "vpn:/inbound-proxy").returncode == 0
    start_proxy(place)
    yield place
    place("kill", "vpn")


def start_proxy(vpn):
    r = vpn("exec", "vpn", "sh", "-c", "setsid /inbound-proxy </dev/null >/dev/null 2>&1 &")
    assert r.returncode == 0, r


@pytest.fixture
def server(vpn):
    s = Server(vpn, "--listen", "127.0.0.1:0")
    yield s
    s.end()


def sshd_words(folder, address, port):
    """A server with keys of its own, in the foreground."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "keys").write_text((folder / "user.pub").read_text())
    os.makedirs("/run/sshd", exist_ok=True)
    config = ("Port %d\nListenAddress %s\nHostKey %s\nAuthorizedKeysFile %s\nStrictModes no\nUsePAM no\nPidFile none\n"
              "PermitRootLogin prohibit-password\nMaxStartups 300\n" % (port, address, folder / "host", folder / "keys"))
    (folder / "config").write_text(config)
    return [SSHD, "-D", "-f", str(folder / "config"), "-E", str(folder / "log")]


def ssh_options(folder, port):
    return ["-i", str(folder / "user"), "-p", str(port), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o",
            "LogLevel=ERROR", "-o", "BatchMode=yes"]


@pytest.fixture(scope="module")
def sshd(tmp_path_factory):
    """A server of its own, on the loopback; the words of ssh to it."""
    if not SSHD or not shutil.which("ssh") or not shutil.which("ncat") or os.geteuid():
        pytest.skip("needs root, sshd, ssh and ncat (tools/deps.sh test)")
    folder, port = tmp_path_factory.mktemp("sshd"), free_port()
    process = subprocess.Popen(sshd_words(folder, "127.0.0.1", port))
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except ConnectionRefusedError:
            time.sleep(0.02)

    def words(proxy):
        """The docs' ProxyCommand."""
        return ["ssh", "-F", "none", *ssh_options(folder, port), "-o",
                "ProxyCommand=ncat --proxy-type socks5 --proxy 127.0.0.1:%d %%h %%p" % proxy.port,
                "%s@%s" % (getpass.getuser(), HOST)]
    yield words
    process.kill()
    process.wait()


def test_ssh(server, sshd):
    r = subprocess.run(sshd(server) + ["echo from $SSH_CONNECTION; exit 7"], stdout=subprocess.PIPE, timeout=60)
    assert r.returncode == 7 and r.stdout.startswith(b"from 127.0.0.1 "), r


def test_bulk_by_ssh(server, sshd, tmp_path):
    """A file there and back, with its checksum taken in both places."""
    count = 1024 if FULL else 32
    piece, digest = os.urandom(MIB), hashlib.sha256()
    source, back = tmp_path / "source", tmp_path / "back"
    with open(source, "wb") as f:
        for i in range(count):
            data = piece[i % 251:] + piece[:i % 251]
            f.write(data)
            digest.update(data)
    with open(source, "rb") as f:
        r = subprocess.run(sshd(server) + ["tee %s | sha256sum" % (tmp_path / "there")], stdin=f, stdout=subprocess.PIPE, timeout=600)
    assert r.stdout.split()[0].decode() == digest.hexdigest(), r
    with open(back, "wb") as f:
        r = subprocess.run(sshd(server) + ["cat %s" % (tmp_path / "there")], stdout=f, timeout=600)
    assert r.returncode == 0
    with open(back, "rb") as f:
        assert hashlib.file_digest(f, "sha256").hexdigest() == digest.hexdigest()


@pytest.fixture(scope="module")
def echo():
    s = socket.create_server(("127.0.0.1", 0), backlog=512)

    def serve(c):
        with c:
            try:
                while True:
                    data = c.recv(65536)
                    if not data:
                        return
                    c.sendall(data)
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


def test_200_at_once(server, echo):
    held = [server.connect(HOST, echo) for _ in range(200)]
    for s in held:
        assert read_just(s, 10) == reply(0)
    each_has_its_own(held)


def test_who_does_not_read_is_waited_for(server, echo):
    """In both directions: what is on its way has a limit, holds up nobody else, and comes whole when it is read."""
    listener = socket.create_server(("127.0.0.1", 0))
    near = server.connect(HOST, listener.getsockname()[1])
    far = listener.accept()[0]
    assert read_just(near, 10) == reply(0)
    piece = os.urandom(MIB)
    for writer, reader in ((far, near), (near, far)):
        writer.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 256 * MIB:
                sent += writer.send(piece[sent % MIB:])
        assert sent < 32 * MIB, "somebody takes all of it"
        with server.connect(HOST, echo) as other:
            assert read_just(other, 10) == reply(0)
            other.sendall(b"others")
            assert read_just(other, 6) == b"others"
        reader.settimeout(20)
        got, whole = hashlib.sha256(), hashlib.sha256()
        for _ in range(sent // MIB):
            got.update(read_just(reader, MIB))
            whole.update(piece)
        got.update(read_just(reader, sent % MIB))
        whole.update(piece[:sent % MIB])
        assert got.digest() == whole.digest()
    near.close()
    assert far.recv(1) == b""
    listener.close()


def test_curl(server, tmp_path):
    (tmp_path / "page").write_bytes(os.urandom(8 * MIB))
    port = free_port()
    web = subprocess.Popen(["python3", "-m", "http.server", "-b", "127.0.0.1", "-d", str(tmp_path), str(port)],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        r = subprocess.run(["curl", "-sS", "--retry", "20", "--retry-all-errors", "--retry-delay", "1", "--max-time", "60",
                            "--socks5-hostname", "127.0.0.1:%d" % server.port, "http://%s:%d/page" % (HOST, port)],
                           stdout=subprocess.PIPE)
        assert r.stdout == (tmp_path / "page").read_bytes()
    finally:
        web.kill()
        web.wait()


@pytest.mark.parametrize("moment", [0.0, 0.2, 1.0])
def test_the_proxy_is_killed(vpn, server, sshd, moment):
    """ssh ends with an error, soon, whenever it happens; and comes in again afterwards."""
    ssh = subprocess.Popen(sshd(server) + ["sleep 60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(moment)
        assert vpn("exec", "vpn", "killall", "-9", "inbound-proxy").returncode == 0
        assert ssh.wait(15) == 255
    finally:
        ssh.kill()
        start_proxy(vpn)
    r = subprocess.run(sshd(server) + ["echo well"], stdout=subprocess.PIPE, timeout=60)
    assert r.stdout == b"well\n"


def test_the_machine_is_killed(vpn, server, sshd, echo):
    """In the middle of bytes: nobody waits, and nobody takes what it has for all."""
    ssh = subprocess.Popen(sshd(server) + ["cat /dev/zero"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    s = server.connect(HOST, echo)
    assert read_just(s, 10) == reply(0)
    assert ssh.stdout.read(MIB) == bytes(MIB)
    vpn("kill", "vpn")
    began = time.time()
    drain = threading.Thread(target=ssh.stdout.read, daemon=True)
    drain.start()
    assert ssh.wait(10) == 255
    s.settimeout(5)
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    assert time.time() - began < 10
    with pytest.raises((ConnectionRefusedError, ConnectionResetError, AssertionError)):
        server.connect(HOST, echo)
