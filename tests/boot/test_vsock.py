# SPDX-License-Identifier: MIT OR Apache-2.0
"""Sockets between host and guest: the C program with the public API, and the UNIX
socket as Firecracker's tools use it, with socat and ncat in the guest."""
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

import guests


def amounts(guest):
    """Connections one after the other; at once; KiB each way of each. In kvmbox, where
    an exit costs a hundred times as much, fewer."""
    return ("50", "8", "256", "1") if guest.slow else ("1000", "64", "16384", "0")


def test_connections(quick):
    r = quick.program("api_vsock", *amounts(quick), timeout=300)
    assert r.status == 0, r
    print(r.text)


def test_connections_of_other_kernels(machine, debian):
    for guest in {g.kernel.name: g for g in (machine, debian)}.values():
        r = guest.program("api_vsock", *amounts(guest), timeout=150, cpus="2")
        assert r.status == 0, (guest.kernel.name, r)
        print(guest.kernel.name, r.text)


class Uds:
    """A running guest and its UNIX socket; natively only: kvmbox's is inside."""

    def __init__(self, guest, commands, path, *options, **how):
        if guest.slow:
            pytest.skip("the socket of a guest in kvmbox cannot be reached from here")
        self.path = str(path)
        self.p = guest.bed.popen(guest.words(
            commands, "--vsock", "uds=%s,cid=42" % path, *options, **how), timeout=120)

    def __enter__(self):
        end = time.time() + 20
        while not os.path.exists(self.path) and time.time() < end:
            time.sleep(0.01)
        return self

    def __exit__(self, *what):
        self.p.kill()
        self.p.communicate()

    def dial(self, port, more=b"", seconds=30):
        """Tools try again while the guest refuses, which closes the socket."""
        end = time.time() + seconds
        while time.time() < end:
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(20)
            s.connect(self.path)
            s.sendall(b"CONNECT %d\n" % port + more)
            line = b""
            while not line.endswith(b"\n"):
                try:
                    byte = s.recv(1)
                except ConnectionResetError:  # closed with `more` unread
                    byte = b""
                if not byte:
                    break
                line += byte
            if line.startswith(b"OK ") and line.endswith(b"\n"):
                assert int(line[3:]) >= 1 << 30
                return s
            s.close()
            time.sleep(0.05)
        raise AssertionError("no connection to port %d" % port)


def read_all(s):
    data = b""
    while part := s.recv(65536):
        data += part
    return data


def test_uds_connect(quick, tmp_path):
    with Uds(quick, "vsock-serve", tmp_path / "v.sock") as uds:
        s = uds.dial(10, more=b"early")  # bytes behind the line belong to the guest
        s.sendall(b" and late")
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"early and late"
        for bad in (b"CONNECT\n", b"CONNECT x\n", b"CONNECT 4294967295\n", b"HELLO 1\n",
                    b"CONNECT 10" + b" " * 40, b"CONNECT 999\n"):
            s = socket.socket(socket.AF_UNIX)
            s.settimeout(5)
            s.connect(uds.path)
            s.sendall(bad)
            began = time.time()
            try:
                assert s.recv(100) == b"", bad
            except ConnectionResetError:
                pass
            assert time.time() - began < 1, bad
        uds.dial(13).close()
        assert uds.p.wait(60) == 0
        assert not os.path.exists(uds.path)


def test_connect_of_a_named_machine(quick, tmp_path, monkeypatch):
    """microvm connect NAME PORT: what is said comes back, and the end is passed on."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def connect(*words):
        return subprocess.run([guests.MICROVM, "connect", *words], input=b"said" * 50000,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)

    with Uds(quick, "vsock-serve", tmp_path / "v.sock", "--name", "web") as uds:
        uds.dial(10).close()  # it listens
        r = connect("web", "10")
        assert r.returncode == 0 and r.stdout == b"said" * 50000, r
        r = connect("web", "999")
        assert r.returncode == 125 and b"999" in r.stderr and not r.stdout, r
        assert connect("other", "10").returncode == 125
        uds.dial(13).close()
        assert uds.p.wait(60) == 0


def test_a_connect_that_is_given_up_is_nobody_elses(quick, tmp_path, monkeypatch):
    """The one that waits next has a socket of its own, and its own answer."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))

    def client(*words):
        p = subprocess.Popen([guests.MICROVM, *words], stdin=subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        time.sleep(0.5)
        return p

    with Uds(quick, "vsock-serve", tmp_path / "v.sock", "--name", "web") as uds:
        uds.dial(10).close()  # it listens
        # Three descriptors go, the lowest are given again: also the first one's.
        gone = [client("logs", "-f", "web"), client("connect", "--wait", "4", "web", "9999")]
        for p in gone:
            p.kill()
            p.communicate(timeout=10)
        time.sleep(0.5)
        began = time.time()
        second = client("connect", "--wait", "7", "web", "998")
        said = second.communicate(timeout=60)[1]
        assert second.returncode == 125 and b"998" in said and b"9999" not in said, said
        assert time.time() - began > 6
        uds.dial(13).close()
        assert uds.p.wait(60) == 0


def test_uds_guest_connects(quick, tmp_path):
    """R192: what the guest connects to comes out at PATH_PORT."""
    path = tmp_path / "v.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path) + "_77")
    listener.listen(5)
    listener.settimeout(60)
    with Uds(quick, "vsock-half=77 " + quick.kernel.end, path) as uds:
        s, _ = listener.accept()
        assert read_all(s) == b"question"
        s.sendall(b"the answer")
        s.close()
        out, _ = uds.p.communicate(timeout=60)
    assert b"MV vsock-half answer the answer" in out


def test_uds_guest_sends_messages(quick, tmp_path):
    """SOCK_SEQPACKET comes out at PATH_PORT as SOCK_SEQPACKET, message by message."""
    path = tmp_path / "v.sock"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path) + "_79")
    listener.listen(5)
    listener.settimeout(60)
    with Uds(quick, "vsock-messages=79:500 " + quick.kernel.end, path) as uds:
        s, _ = listener.accept()
        s.settimeout(60)
        lengths = set()
        while message := s.recv(1 << 17):
            lengths.add(len(message))
            s.send(message)
        s.close()
        out, _ = uds.p.communicate(timeout=60)
    assert b"MV vsock-messages 500 of 500" in out, out
    assert b"vsock-messages error" not in out, out
    assert len(lengths) > 100 and max(lengths) > 30000


def test_uds_path_is_taken(quick, tmp_path):
    """A socket that somebody serves is not taken over; one that nobody does is."""
    path = str(tmp_path / "v.sock")
    other = socket.socket(socket.AF_UNIX)
    other.bind(path)
    other.listen(1)
    r = quick.run("reboot", "--vsock", "uds=" + path)
    if not quick.slow:
        assert r.status == 125 and b"v.sock" in r.err, r
        other.close()
        r = quick.run(quick.kernel.end, "--vsock", "uds=" + path)
        assert r.status == 0, r
    (tmp_path / "file").write_text("precious")
    r = quick.run("reboot", "--vsock", "uds=%s" % (tmp_path / "file"), share=tmp_path)
    assert r.status == 125, r
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("client", ["socat", "ncat"])
def test_real_clients(quick, tmp_path, client):
    """Programs of Debian in the guest talk to the host through their own AF_VSOCK."""
    if not shutil.which(client):
        pytest.skip("%s is not installed: tools/deps.sh test" % client)
    path = tmp_path / "v.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path) + "_78")
    listener.listen(5)
    listener.settimeout(60)
    call = {"socat": "socat STDIO VSOCK-CONNECT:2:78", "ncat": "ncat --vsock 2 78"}
    initrd = guests.with_program(
        quick.kernel, client,
        "seq 1 100000 > /tmp/in; %s < /tmp/in > /tmp/out; md5sum /tmp/out\n"
        % call[client])
    with Uds(quick, "script=/script " + quick.kernel.end, path, "--initrd", initrd,
             initrd=False) as uds:
        s, _ = listener.accept()
        answer = os.urandom(1 << 20)
        sender = threading.Thread(
            target=lambda: (s.sendall(answer), s.shutdown(socket.SHUT_WR)))
        sender.start()
        said = read_all(s)
        sender.join()
        s.close()
        out, _ = uds.p.communicate(timeout=60)
    assert said == "".join("%d\n" % n for n in range(1, 100001)).encode()
    assert hashlib.md5(answer).hexdigest().encode() in out
