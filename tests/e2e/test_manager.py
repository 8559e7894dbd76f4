# SPDX-License-Identifier: MIT OR Apache-2.0
"""examples/manager.c and examples/socks.c: a VPN's guest from an application, with the real
daemon and proxy in a guest of the ring3 kernel."""
import os
import socket
import subprocess
import threading

import pytest

from test_proxy import read_all, read_just, reply, socks_request

TOP = os.path.join(os.path.dirname(__file__), "..", "..")
BUILD = os.path.dirname(os.path.dirname(os.environ.get("MICROVM", "build/cli/microvm")))
VPND = os.environ.get("MICROVM_VPND", "build/guest/vpnd")
INBOUND = os.environ.get("MICROVM_INBOUND", "build/guest/inbound-proxy")


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    """Kernel and initial RAM disk of a guest with vpnd and inbound-proxy."""
    kernel, init = os.environ.get("MICROVM_RING3_KERNEL"), os.environ.get("MICROVM_INIT", "")
    for what in (kernel or "", init, VPND, INBOUND, BUILD + "/examples/manager"):
        if not os.path.exists(what):
            pytest.skip("needs the ring3 kernel, the guest's programs and the examples; no '%s'" % what)
    folder = tmp_path_factory.mktemp("manager")
    initrd = str(folder / "initrd.cpio")
    scripts = {"dies": "/vpnd & sleep 3; kill -9 $!; sleep 100",
               "serves": "echo hi > /x; ip link set lo up; busybox httpd -p 127.0.0.1:80 -h /; exec /inbound-proxy"}
    for name, script in scripts.items():
        (folder / name).write_text("#!/bin/sh\n%s\n" % script)
        (folder / name).chmod(0o755)
    subprocess.run([os.path.join(TOP, "tools/guest-initramfs.py"), "-o", initrd, "--init", init, "--busybox",
                    "vpnd=" + VPND, "inbound-proxy=" + INBOUND, *("%s=%s" % (name, folder / name) for name in scripts)], check=True)
    return kernel, initrd


class Manager:
    def __init__(self, *words):
        self.process = subprocess.Popen([BUILD + "/examples/manager", *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, line, answered=True):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip() if answered else None

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(30) == 0


def test_kernels_that_are_not_there():
    """R364's words."""
    if not os.path.exists(BUILD + "/examples/manager"):
        pytest.skip("the examples are not built")
    for words, says in (((), "Kernel image not found"), (("/no/such",), "Kernel not found at: /no/such")):
        m = Manager(*words)
        assert m.say("start") == says
        assert m.say("status") == "stopped"
        assert m.say("vpn") == "error: start first"
        m.end()


def test_a_vpn_in_a_guest(kvm, guest, tmp_path):
    m = Manager(*guest, "quiet -- /vpnd --openvpn /no/openvpn")
    assert m.say("status") == "stopped"
    assert m.say("start") == "started"
    assert m.say("status") == "running"
    assert m.say("vpn") == "disconnected"
    profile = tmp_path / "work.ovpn"
    profile.write_text("client\ndev tun\nremote 192.0.2.1 1194\n" + "# long\n" * 30000)
    answer = m.say("connect %s ann secret" % profile)
    assert answer.startswith("error: the daemon: ") and "openvpn" in answer.lower(), answer
    assert m.say("connect /no/such").startswith("error: /no/such")
    assert m.say("disconnect") in ("disconnected", "ok")
    assert m.say("connect")[:6] == "error:"
    m.say("stop", answered=False)
    assert m.say("status") == "stopped"
    assert m.say("start") == "started"  # and again
    m.end()


def test_the_guest_dies(kvm, guest):
    """Every word is answered, soon."""
    m = Manager(*guest, "quiet -- /dies")
    assert m.say("start") == "started"
    done = threading.Event()
    threading.Timer(30, lambda: done.is_set() or m.process.kill()).start()
    for _ in range(10):
        answer = m.say("status")
        if answer != "running":
            break
        done.wait(1)
    assert "port 1025" in answer, answer
    assert m.say("vpn").startswith("error: ")
    done.set()
    m.end()


def test_socks(kvm, guest):
    p = subprocess.Popen([BUILD + "/examples/socks", *guest, "127.0.0.1:0",
                          "quiet -- /serves"], stdout=subprocess.PIPE)
    try:
        line = p.stdout.readline().decode()
        assert line.startswith("KVM guest, SOCKS5 at port "), line
        s = socket.create_connection(("127.0.0.1", int(line.split()[-1])), timeout=20)
        s.sendall(b"\5\1\0" + socks_request("127.0.0.1", 80))
        assert read_just(s, 12) == b"\5\0" + reply(0)
        s.sendall(b"GET /x HTTP/1.0\r\n\r\n")
        assert read_all(s).endswith(b"hi\n")
    finally:
        p.kill()
        p.wait()
