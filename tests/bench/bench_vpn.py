#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""From exec of `microvm run BUNDLE` to the VPN daemon's first pong: the gateway as
microvm-build makes it (kernel, initial RAM disk, the user network), its port tried every
two milliseconds through a UNIX socket as any program would.

  bench_vpn.py [-n RUNS] [--kernel FILE] [--json FILE]
"""
import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time

import common


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


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--runs", type=int, default=20)
    common.add_arguments(ap, 128)
    ap.add_argument("--netd")
    opt = ap.parse_args()
    folder = os.path.dirname(os.path.dirname(opt.microvm))
    opt.netd = opt.netd or os.path.join(folder, "netd/microvm-netd")
    with tempfile.TemporaryDirectory() as work:
        bundle = os.path.join(work, "vpn")
        subprocess.run([os.path.join(folder, "cli/microvm-build"), "-q", "--template", "velocitty-vpn", "--bundle",
                        "--kernel", opt.kernel or common.ring3_kernel(), "-o", bundle], check=True)
        ms = [one(opt, bundle, work) for _ in range(opt.runs)]
    out = {"ms": statistics.median(ms), "min": min(ms), "max": max(ms)}
    print("exec to the first pong: %.0f ms (%.0f-%.0f), %d runs" % (out["ms"], out["min"], out["max"], len(ms)))
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(out, f)


if __name__ == "__main__":
    main()
