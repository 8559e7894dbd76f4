# SPDX-License-Identifier: MIT OR Apache-2.0
"""A real WireGuard server for tests, in the place that openvpn.py makes (its namespaces, its hidden
host, who reads along): wireguard-go and wg of Debian, so that no kernel needs to know WireGuard.

Needs root, ip, wg, wireguard-go, /dev/net/tun: usable() says what is missing."""
import os
import signal
import subprocess
import time

import openvpn
from openvpn import FAR, HIDDEN, NAME, PORT, SERVER  # noqa: F401

ALLOWED = "10.8.0.0/24, 10.77.7.0/24"


def usable():
    return openvpn.usable(("ip", "wg", "wireguard-go"))


def wg(*words, **kw):
    return subprocess.run(["wg", *words], check=True, stdout=subprocess.PIPE, **kw).stdout.decode().strip()


def key():
    """A private key and its public one."""
    private = wg("genkey")
    return private, wg("pubkey", input=private.encode())


class WireGuard(openvpn.Vpn):
    """Near is 10.8.0.2 and fd08::2 in the tunnel, far 10.8.0.1."""

    def _configure(self):
        self.interface = "wgs%d" % os.getpid()
        self.socket = "/var/run/wireguard/%s.sock" % self.interface
        self.mine, self.his, self.shared = key(), key(), wg("genpsk")

    def start(self):
        with open(os.path.join(self.folder, "server.log"), "ab") as log:
            self.process = self.run("wireguard-go", "-f", self.interface, where=self.far, stdout=log,
                                    stderr=subprocess.DEVNULL, env=dict(os.environ, LOG_LEVEL="verbose"))
        config = "[Interface]\nPrivateKey = %s\nListenPort = %d\n[Peer]\nPublicKey = %s\nPresharedKey = %s\n" \
                 "AllowedIPs = 10.8.0.2/32, fd08::2/128\n" % (self.mine[0], PORT, self.his[1], self.shared)
        until = time.time() + 20
        while "UAPI listener started" not in self.log() or not os.path.exists(self.socket):
            assert self.process.poll() is None and time.time() < until, self.log()
            time.sleep(0.02)
        wg("setconf", self.interface, "/dev/stdin", input=config.encode())
        self.ip(self.far, "addr", "add", "10.8.0.1/24", "dev", self.interface)
        self.ip(self.far, "link", "set", self.interface, "up")

    def stop(self, how=signal.SIGKILL):
        super().stop(how)
        for path in (self.socket, os.path.join(self.folder, "server.log")):
            if os.path.exists(path):
                os.remove(path)

    def profile(self, remote=None, *lines, mine=None, his=None, shared=None, allowed=ALLOWED, interface=()):
        """A client's, as a provider of VPNs gives it out; `lines` are of the peer."""
        text = ["# work", "[Interface]", "PrivateKey = " + (his or self.his)[0], "Address = 10.8.0.2/24", *interface, "",
                "[Peer]", "PublicKey = " + (mine or self.mine)[1], "PresharedKey = " + (shared or self.shared),
                "AllowedIPs = " + allowed, "Endpoint = " + (remote or "%s:%d" % (self.address, PORT)), *lines]
        return "\n".join(text) + "\n"
