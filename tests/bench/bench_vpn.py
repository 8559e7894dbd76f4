#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""From exec of `microvm run BUNDLE` to the VPN daemon's first pong: the gateway as
microvm-build makes it (kernel, initial RAM disk, the user network), its port tried every
two milliseconds through a UNIX socket as any program would.

With --tunnel from exec of `microvm vpn up PROFILE` to the first byte through the tunnel: a
real OpenVPN server in a namespace beside (tests/e2e/openvpn.py; needs root), and behind it a
host that echoes; its SOCKS5 port is tried every five milliseconds until the byte is back.
The kernel must have tun: ring3-tun, if none is named.

  bench_vpn.py [--tunnel] [-n RUNS] [--kernel FILE] [--json FILE]
"""
import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import common

sys.path.insert(0, os.path.join(common.TOP, "tests/e2e"))
import openvpn  # noqa: E402
import vpnd  # noqa: E402


def pong(path):
    """True when the daemon has answered."""
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(5)
        try:
            s.connect(path)
            s.sendall(b"CONNECT 1025\n")
            if not s.recv(64).startswith(b"OK"):
                return False
            s.sendall(b'{"cmd": "ping"}\n')
            return json.loads(s.recv(4096))["status"] == "pong"
        except (OSError, ValueError):
            return False


def one(opt, bundle, work):
    path = os.path.join(work, "socket")
    began = time.monotonic()
    machine = subprocess.Popen([opt.microvm, "run", "-q", "--netd", opt.netd, "--vsock", "uds=" + path, bundle],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        while not pong(path):
            if machine.poll() is not None or time.monotonic() - began > 120:
                raise SystemExit("bench_vpn: the gateway does not answer")
            time.sleep(0.002)
        return (time.monotonic() - began) * 1000
    finally:
        machine.kill()
        machine.wait()


# ---- through a tunnel --------------------------------------------------------------


def byte_came_back(namespace):
    try:
        with vpnd.connect_in(namespace, 1080, 5) as s:
            s.sendall(b"\5\1\0\5\1\0\1" + socket.inet_aton(openvpn.HIDDEN) + openvpn.ECHO.to_bytes(2, "big"))
            back = b""
            while len(back) < 12:  # a method of two bytes, a reply of ten
                piece = s.recv(12 - len(back))
                if not piece:
                    return False
                back += piece
            if back[3]:
                return False
            s.sendall(b"x")
            return s.recv(1) == b"x"
    except OSError:
        return False


def one_tunnel(opt, bundle, work, server):
    words = [opt.microvm, "vpn", "up", os.path.join(work, "work.ovpn"), "--bundle", bundle, "--netd", opt.netd, "-q"]
    began = time.monotonic()
    up = server.run(*words, env=dict(os.environ, XDG_RUNTIME_DIR=work), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL)
    try:
        while not byte_came_back(server.near):
            if up.poll() is not None or time.monotonic() - began > 120:
                raise SystemExit("bench_vpn: no way through the tunnel:\n" + server.log()[-2000:])
            time.sleep(0.005)
        return (time.monotonic() - began) * 1000
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(30)


def tunnels(opt, bundle, work):
    if openvpn.usable():
        raise SystemExit("bench_vpn: " + openvpn.usable())
    with openvpn.Vpn(work) as server:
        with open(os.path.join(work, "work.ovpn"), "w") as f:
            f.write(server.profile())
        return [one_tunnel(opt, bundle, work, server) for _ in range(opt.runs)]


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--runs", type=int, default=20)
    common.add_arguments(ap, 128)
    ap.add_argument("--netd")
    ap.add_argument("--tunnel", action="store_true", help="to the first byte through one")
    opt = ap.parse_args()
    folder = os.path.dirname(os.path.dirname(opt.microvm))
    opt.netd = opt.netd or os.path.join(folder, "netd/microvm-netd")
    with tempfile.TemporaryDirectory() as work:
        bundle = os.path.join(work, "vpn")
        subprocess.run([os.path.join(folder, "cli/microvm-build"), "-q", "--template", "velocitty-vpn", "--bundle",
                        "--kernel", opt.kernel or common.ring3_kernel("ring3-tun" if opt.tunnel else "ring3"),
                        "-o", bundle], check=True)
        ms = tunnels(opt, bundle, work) if opt.tunnel else [one(opt, bundle, work) for _ in range(opt.runs)]
    out = {"ms": statistics.median(ms), "min": min(ms), "max": max(ms)}
    print("exec to the first %s: %.0f ms (%.0f-%.0f), %d runs" % ("byte through the tunnel" if opt.tunnel else "pong", out["ms"], out["min"],
                                                                 out["max"], len(ms)))
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(out, f)


if __name__ == "__main__":
    main()
