#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""SOCKS5 into a guest beside its vsock alone: the same service of the guest, reached by

  vsock   the UNIX socket of the socket device, to a port of the service
  socks   microvm's SOCKS server, inbound-proxy, the service's TCP port in the guest

  bench_socks.py [-n ROUNDS] [--json FILE]

Bulk both ways, 64-byte round trips, rows in turn; then 1,000 connections held open, and
what they cost in the guest and in the VMM. The limits are the project's own, and judged.
"""
import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import common
import procs

BULK = 256 << 20
PINGS = 2000
HELD = 1000
LIMITS = [("send", "at least", 0.7), ("receive", "at least", 0.7), ("ping_us", "at most", 2.5)]
HELD_MOST_KIB = {"guest": 64 << 10, "host": 16 << 10}


class Machine:
    def __init__(self, work, opt):
        init = os.path.join(common.TOP, "build/guest/microvm-init")
        proxy = os.path.join(common.TOP, "build/guest/inbound-proxy")
        serve = common.compile_c(work, "serve", ["guest/serve.c"], "-static")
        initrd = os.path.join(work, "initrd.cpio")
        subprocess.run([os.path.join(common.TOP, "tools/guest-initramfs.py"), "-o", initrd, "--init", init,
                        "--busybox"], check=True)
        self.mem = opt.mem
        self.microvm, self.env = opt.microvm, dict(os.environ, XDG_RUNTIME_DIR=work)
        self.uds = os.path.join(work, "v.sock")
        self.run("run", "-d", "--name", "bench", "-k", opt.kernel or common.ring3_kernel(), "--initrd", initrd,
                 "-m", str(opt.mem), "--cmdline", "quiet", "--vsock", "uds=" + self.uds)
        for program in (serve, proxy):
            self.run("cp", program, "bench:/" + os.path.basename(program))
            self.shell("setsid /%s </dev/null >/dev/null 2>&1 &" % os.path.basename(program))
        self.port = int(self.run("socks", "-d", "-l", "127.0.0.1:0", "bench").rsplit(":", 1)[1])
        self.pid = json.loads(self.run("ps", "--json"))[0]["pid"]

    def run(self, *words):
        r = subprocess.run([self.microvm, *words], env=self.env, stdout=subprocess.PIPE, check=True)
        return r.stdout.decode()

    def shell(self, script):
        return self.run("exec", "bench", "sh", "-c", script)

    def vsock(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.uds)
        s.sendall(b"CONNECT 9000\n")
        line = b""
        while not line.endswith(b"\n"):
            line += s.recv(1)
        return s

    def socks(self, port=9000):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        s.sendall(b"\5\1\0\5\1\0\1\x7f\0\0\1" + port.to_bytes(2, "big"))
        reply = b""
        while len(reply) < 12:
            reply += s.recv(12 - len(reply))
        assert reply[3] == 0, reply
        return s

    def end(self):
        self.run("kill", "bench")


def send(connect):
    block, s = bytes(1 << 20), connect()
    s.sendall(b"S")
    began = time.monotonic()
    for _ in range(BULK >> 20):
        s.sendall(block)
    s.shutdown(socket.SHUT_WR)
    s.recv(1)
    return BULK / (time.monotonic() - began) / 1e6


def receive(connect):
    block, s, got = bytearray(1 << 20), connect(), 0
    s.sendall(b"G")
    began = time.monotonic()
    while got < BULK:
        got += s.recv_into(block)
    spent = time.monotonic() - began
    s.close()
    return got / spent / 1e6


def ping(connect):
    s, took = connect(), []
    s.sendall(b"E")
    for _ in range(PINGS):
        began = time.monotonic_ns()
        s.sendall(b"x" * 64)
        while len(s.recv(64)) < 64:
            continue
        took.append(time.monotonic_ns() - began)
    s.close()
    return statistics.median(took) / 1000


FIGURES = {"send": send, "receive": receive, "ping_us": ping}


def guest_used_kib(machine):
    text = machine.shell("cat /proc/meminfo")
    value = {k: int(v) for k, v in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    return value["MemTotal"] - value["MemFree"] - value["Cached"] - value["Buffers"]


def host_kib(machine):
    """Resident outside guest RAM."""
    return procs.memory([machine.pid], machine.mem)[0]


def held(machine):
    """What HELD connections cost, which nobody accepts at their other end."""
    before = guest_used_kib(machine), host_kib(machine)
    held = [machine.socks(9001) for _ in range(HELD)]
    time.sleep(1)
    after = guest_used_kib(machine), host_kib(machine)
    for s in held:
        s.close()
    return {"guest": after[0] - before[0], "host": after[1] - before[1]}


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--rounds", type=int, default=5)
    common.add_arguments(ap, 512)
    opt = ap.parse_args()
    got = {row: {f: [] for f in FIGURES} for row in ("vsock", "socks")}
    with tempfile.TemporaryDirectory() as work:
        machine = Machine(work, opt)
        try:
            for i in range(opt.rounds):
                for row in (("vsock", "socks"), ("socks", "vsock"))[i % 2]:
                    for figure, measure in FIGURES.items():
                        got[row][figure].append(measure(getattr(machine, row)))
            cost = held(machine)
        finally:
            machine.end()
    median = {row: {f: statistics.median(v) for f, v in g.items()} for row, g in got.items()}
    for row, m in median.items():
        print(f"{row:<6} " + ", ".join(f"{f} {v:.0f}{'' if f.endswith('us') else ' MB/s'}" for f, v in m.items()))
    well = True
    for figure, way, bound in LIMITS:
        ratio = median["socks"][figure] / median["vsock"][figure]
        keeps = ratio >= bound if way == "at least" else ratio <= bound
        well &= keeps
        print(f"{'ok' if keeps else 'MISSED'}: {figure}: {ratio:.2f} of vsock alone, {way} {bound}")
    for where, most in HELD_MOST_KIB.items():
        keeps = cost[where] <= most
        well &= keeps
        print(f"{'ok' if keeps else 'MISSED'}: {HELD} connections held open cost the {where} {cost[where]} KiB, at most {most}")
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump({"median": median, "rounds": got, "held_kib": cost}, f, indent=2)
    return not well


if __name__ == "__main__":
    sys.exit(main())
