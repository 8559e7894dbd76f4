# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest's VPN daemon as a program of this computer, and somebody who talks to it."""
import json
import os
import socket
import subprocess
import time

VPND = os.environ.get("MICROVM_VPND", "build/guest/vpnd")


def missing():
    return "" if os.path.exists(VPND) else "no vpnd: it is built where musl-gcc and tools/guest-jansson.sh's library are"


class Vpnd:
    """It listens on 127.0.0.1 of a network namespace (None: this one), and is talked to
    from there by a thread that has entered it."""

    def __init__(self, folder, *options, namespace=None, port=1025):
        self.folder, self.namespace, self.port = str(folder), namespace, port
        at = lambda name: os.path.join(self.folder, name)
        self.resolv, self.profiles = at("resolv.conf"), at("profiles")
        with open(self.resolv, "w") as f:
            f.write("nameserver 192.0.2.1\n")
        words = [os.path.abspath(VPND), "--listen", "tcp:127.0.0.1:%d" % port, "--profiles", self.profiles,
                 "--run", at("run"), "--resolv-conf", self.resolv, "--verbose", *options]
        if namespace:
            words = ["ip", "netns", "exec", namespace, *words]
        self.log = open(at("vpnd.log"), "wb")
        self.process = subprocess.Popen(words, stderr=self.log)
        for _ in range(200):
            try:
                self.connect().close()
                return
            except ConnectionRefusedError:
                time.sleep(0.02)
        raise AssertionError("it does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def connect(self, timeout=10):
        """A connection from inside the namespace: a socket stays in that of its birth."""
        return connect_in(self.namespace, self.port, timeout)

    def raw(self, data, timeout=10):
        """All that comes back for what was sent before the end."""
        with self.connect(timeout) as s:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            back = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return back
                back += piece

    def ask(self, cmd, **fields):
        back = self.raw(json.dumps(dict(fields, cmd=cmd)).encode() + b"\n")
        assert back.endswith(b"\n") and back.count(b"\n") == 1, back
        return json.loads(back)

    def start(self, profile, wait=True, within=30, **fields):
        """A start's answer, which comes within its time; `wait`: what a slow computer has later, in `within` seconds."""
        begin = time.time()
        answer = self.ask("vpn_start", profile=profile, **fields)
        assert time.time() - begin < 4.0
        while wait and answer in ({"status": "ok"}, {"status": "disconnected"}):
            assert time.time() - begin < within, self.said()
            time.sleep(0.05)
            answer = self.ask("vpn_status")
        return answer

    def put(self, name, content):
        assert self.ask("vpn_set_profile", name=name, content=content) == {"status": "ok"}

    def until(self, status, timeout=90, **fields):
        """Asks until the answer's status is that, and its other fields."""
        end = time.time() + timeout
        while True:
            answer = self.ask("vpn_status", detail=True)
            if answer["status"] == status and all(answer.get(k) == v for k, v in fields.items()):
                return answer
            assert time.time() < end, "%s\n%s" % (answer, self.said())
            time.sleep(0.05)

    def said(self):
        with open(os.path.join(self.folder, "vpnd.log")) as f:
            return f.read()

    def names(self):
        with open(self.resolv) as f:
            return f.read()

    def end(self):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(10)
        self.log.close()


def connect_in(namespace, port, timeout):
    """To the loopback of a network namespace (None: this one); the thread is there for a moment."""
    if not namespace:
        return socket.create_connection(("127.0.0.1", port), timeout=timeout)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    there = os.open("/run/netns/" + namespace, os.O_RDONLY)
    try:
        setns(there)
        return socket.create_connection(("127.0.0.1", port), timeout=timeout)
    finally:
        setns(here)
        os.close(here)
        os.close(there)


def a_dead_server(server, daemon, profile):
    """A start is answered in time, and what it leads to is seen and can be ended."""
    server.stop()
    begin = time.time()
    assert daemon.start(profile, False, detail=True) == {"status": "ok", "state": "connecting", "profile": profile}
    assert 3 < time.time() - begin < 4
    assert daemon.ask("vpn_status") == {"status": "disconnected"}
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert daemon.start(profile, False)["status"] == "ok"
    server.start()
    daemon.until("connected")


def setns(fd):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0x40000000):
        raise OSError(ctypes.get_errno(), "setns")
