# SPDX-License-Identifier: MIT OR Apache-2.0
"""The end of microvm-netd while its machine runs: told, seen by the guest, and undone."""
import json
import os
import subprocess
import time
import urllib.request

import pytest

from netguest import Server, free_port

# What the guest does for ever: serves its root, says what its cable does, and tries to
# reach what the policy denies.
LOOP = """
echo here > /x; httpd -p 80 -h /
while :; do
    cat /sys/class/net/eth0/carrier
    timeout 3 wget -q -O - http://10.0.2.2:%d/ 2>&1
    sleep 0.3
done
"""


def wait_until(what, seconds=30):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.1)


def fetch(port):
    try:
        with urllib.request.urlopen("http://127.0.0.1:%d/x" % port, timeout=3) as r:
            return r.read() == b"here\n"
    except OSError:
        return False


class Running:
    """A named machine with a forward, a policy, and a server that it must not reach."""

    def __init__(self, guest_net, folder):
        self.env = dict(os.environ, XDG_RUNTIME_DIR=str(folder))
        self.guest_net, self.ports = guest_net, [free_port(), free_port()]
        self.closed = Server(lambda s: s.recv(100))
        self.process = guest_net.start(
            "--name", "web", "--net", "user", "-p", "%d:80" % self.ports[0], "--deny",
            "192.0.2.1", do=LOOP % self.closed.port, env=self.env)
        wait_until(lambda: fetch(self.ports[0]))

    def cli(self, *args):
        return subprocess.run([self.guest_net.kvm.path, *args], env=self.env, timeout=30,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def inspect(self):
        return json.loads(self.cli("inspect", "web").stdout)[0]

    def link(self):
        return self.inspect()["nets"][0]["link"]

    def refused(self):
        return self.inspect()["stats"]["net_refused_connections"]

    def carrier(self):
        """What the guest says about its cable, last."""
        lines = self.cli("logs", "web").stdout.decode().split()
        return [t for t in lines if t in "01"][-1]

    def netd(self):
        children = subprocess.run(["pgrep", "-P", str(self.process.pid), "microvm-netd"],
                                  stdout=subprocess.PIPE).stdout.decode().split()
        return [int(p) for p in children
                if open("/proc/%s/stat" % p).read().rsplit(")", 1)[1].split()[0] != "Z"]

    def end(self):
        self.process.kill()
        self.closed.close()
        return self.process.communicate(timeout=30)[1].decode()


@pytest.fixture
def running(guest_net, tmp_path):
    machine = Running(guest_net, tmp_path)
    yield machine
    machine.end()


def test_a_crash_is_told_and_a_restart_puts_everything_in_place_again(running):
    first, second = running.ports
    assert running.cli("port", "web", "add", "%d:80" % second).returncode == 0
    wait_until(lambda: fetch(second))
    wait_until(lambda: running.refused() >= 2)
    before = running.refused()
    os.kill(running.netd()[0], 11)
    wait_until(lambda: running.link() == "down")
    wait_until(lambda: running.carrier() == "0")
    assert not fetch(first) and not fetch(second)
    assert b"user" in running.cli("net", "web").stdout
    assert b"down" in running.cli("net", "web").stdout
    said = running.cli("port", "web", "add", "1:1").stderr
    assert b"microvm-netd does not answer" in said and b"restarted" in said
    assert running.refused() >= before  # what was counted stays counted

    r = running.cli("net", "web", "restart")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")
    assert running.link() == "up" and len(running.netd()) == 1
    wait_until(lambda: running.carrier() == "1")
    wait_until(lambda: fetch(first) and fetch(second))
    wait_until(lambda: running.refused() >= before + 2)  # the policy is there, too
    assert running.closed.served == 0
    said = running.end()
    assert "net 'net0': microvm-netd is gone, and the link is down" in said
    assert "net 'net0': the link is up" in said


def test_a_restart_that_fails_says_why_and_can_be_tried_again(running):
    first, second = running.ports
    os.kill(running.netd()[0], 9)
    wait_until(lambda: running.link() == "down")
    import socket
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("127.0.0.1", first))
        s.listen()
        said = running.cli("net", "web", "restart").stderr.decode()
        assert "%d:80: " % first in said and "in use" in said
        assert running.link() == "down" and running.netd() == []
        # who cannot have the port back gives it up
        assert running.cli("port", "web", "rm", "%d:80" % first).returncode == 0
        assert running.cli("net", "web", "restart", "net0").returncode == 0
    assert running.link() == "up"
    assert running.cli("port", "web", "add", "%d:80" % second).returncode == 0
    wait_until(lambda: fetch(second))


def test_a_helper_that_lives_can_be_restarted_and_paused_machines_are_told(running):
    first = running.ports[0]
    old = running.netd()
    assert running.cli("net", "web", "restart").returncode == 0
    assert running.netd() and running.netd() != old
    wait_until(lambda: fetch(first))
    assert running.cli("pause", "web").returncode == 0
    os.kill(running.netd()[0], 9)
    wait_until(lambda: running.link() == "down")
    assert running.cli("net", "web", "restart").returncode == 0
    assert running.cli("resume", "web").returncode == 0
    wait_until(lambda: fetch(first))


def test_a_forward_is_closed_in_any_spelling(running):
    """And while the helper is gone, too."""
    first, second = running.ports
    for add, rm in (("%d:80", "127.0.0.1:%d:80/tcp"), ("127.0.0.1:%d:81", "%d:7"),
                    ("[::1]:%d:80", "[0:0::1]:%d:80")):
        assert running.cli("port", "web", "add", add % second).returncode == 0
        assert (add % second).encode() in running.cli("port", "web").stdout
        assert running.cli("port", "web", "rm", "%d:80/udp" % second).returncode != 0
        r = running.cli("port", "web", "rm", rm % second)
        assert r.returncode == 0, r.stderr
        assert running.cli("port", "web").stdout == b"%d:80\n" % first
    os.kill(running.netd()[0], 9)
    wait_until(lambda: running.link() == "down")
    assert running.cli("port", "web", "rm", "127.0.0.1:%d:80/tcp" % first).returncode == 0
    assert running.cli("port", "web").stdout == b""
    assert running.cli("net", "web", "restart").returncode == 0
    assert not fetch(first)


def test_a_helper_that_hangs_holds_nobody_up_twice(running):
    """The first question waits for its answer, until it is too late; no other one does."""
    os.kill(running.netd()[0], 19)
    assert b"does not answer" in running.cli("port", "web", "add", "1:1").stderr
    began = time.monotonic()
    for _ in range(3):
        assert b"does not answer" in running.cli("port", "web", "add", "1:1").stderr
        assert running.cli("stats", "web").returncode == 0
    assert time.monotonic() - began < 5
    assert running.cli("net", "web", "restart").returncode == 0
    wait_until(lambda: fetch(running.ports[0]))


def test_what_cannot_be_restarted(running):
    assert b"has no device 'net7'" in running.cli("net", "web", "restart", "net7").stderr
    assert b"net: write NAME" in running.cli("net", "web", "up").stderr
