# SPDX-License-Identifier: MIT OR Apache-2.0
"""An application with a VPN in a guest (examples/manager.c, over microvm/runtime.h): the gateway's bundle, a real OpenVPN
server (openvpn.py), and a host behind it, reached through the application's SOCKS5 server."""
import json
import os
import subprocess

import pytest

import openvpn
import vpngate
from openvpn import PASSWORD, USER

MANAGER = os.path.join(os.path.dirname(os.path.dirname(vpngate.MICROVM)), "examples", "manager")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    if vpngate.missing() or not os.path.exists(MANAGER):
        pytest.skip(vpngate.missing() or "the examples are not built")
    folder, why = vpngate.native_kernel()
    if not folder:
        pytest.skip("no kernel that runs here: " + why)
    made = vpngate.make(tmp_path_factory.mktemp("gateway") / "vpn", folder, ours=None)
    config = json.loads((made / "config.json").read_text())
    config["netd"] = os.path.abspath(vpngate.NETD)
    (made / "config.json").write_text(json.dumps(config))
    return made


class Manager:
    def __init__(self, server, gateway):
        self.process = server.run(MANAGER, str(gateway), stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def say(self, line):
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode().strip()

    def end(self):
        """What it says while it stops: nothing, unless the guest had to be killed."""
        self.process.stdin.close()
        assert self.process.wait(60) == 0
        return self.process.stdout.read().decode()


def test_a_vpn_from_an_application(gateway, tmp_path):
    """start, connect with the wrong password and the right one, through it, disconnect, stop."""
    with openvpn.Vpn(tmp_path, auth="password") as server:
        (tmp_path / "work.ovpn").write_text(server.profile())
        m = Manager(server, gateway)
        try:
            assert m.say("start") == "started"
            assert m.say("vpn") == "disconnected"
            said = m.say("connect %s %s wrong" % (tmp_path / "work.ovpn", USER))
            assert said.startswith("error: the daemon: ") and "password" in said, said
            assert m.say("connect %s %s %s" % (tmp_path / "work.ovpn", USER, PASSWORD)) == "connected 10.8.0.2"
            assert m.say("vpn") == "connected 10.8.0.2"
            socks = m.say("socks 127.0.0.1:0")
            assert socks.startswith("socks "), socks
            p = server.run("curl", "-sS", "--max-time", "20", "--socks5-hostname", "127.0.0.1:" + socks.split()[1],
                           "http://%s/" % openvpn.HIDDEN, stdout=subprocess.PIPE)
            assert p.communicate()[0] == b"from 10.8.0.2\n"
            assert m.say("disconnect") == "disconnected"
            assert m.say("vpn") == "disconnected"
            assert m.end() == ""
        finally:
            if m.process.poll() is None:
                m.process.kill()
                m.process.wait()


def test_a_bundle_that_is_wrong(tmp_path):
    """It is told what is wrong with the bundle, not that a folder is no kernel."""
    if not os.path.exists(MANAGER):
        pytest.skip("the examples are not built")
    (tmp_path / "config.json").write_text('{"memory": ')
    r = subprocess.run([MANAGER, str(tmp_path)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    assert r.returncode == 1 and b"config.json" in r.stderr and b"kernel" not in r.stderr, r
