#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Commands in guests: what they cost beside the least that they can cost, in one run.

  bench_guest.py [-n ROUNDS] [--kernel FILE] [--microvm PATH] [--json FILE]

exec  a request "exec" of /bin/true to its EXIT, by a client that speaks proto/agent.md over the UNIX socket of a running machine,
      beside fork and exec of it inside the guest (forkexec.c) plus a connection to the agent: goal 1.3
run   `microvm run IMAGE -- PROGRAM` from exec to its first byte of output, beside the same kernel's plain boot to that of the same program as
      its init (guest-init.c, bench_boot.py), so that what the program itself costs is in both: goal 1.3

Times, so on an idle machine only. The kernel: ring3, or --kernel.
"""
import argparse
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import tempfile
import time

import bench_boot
import common
from common import CACHE, say

REQUEST, EXIT = 0, 8
GOAL = 1.3


def exactly(s, n):
    data = b""
    while len(data) < n:
        piece = s.recv(n - len(data))
        if not piece:
            raise EOFError("the agent has gone")
        data += piece
    return data


def connect(path):
    """To the agent's port; the answer comes when the guest has accepted it."""
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(path)
    s.sendall(b"CONNECT 1024\n")
    line = b""
    while not line.endswith(b"\n"):
        line += exactly(s, 1)
    assert line.startswith(b"OK"), line
    return s


def exec_once(path, request):
    began = time.perf_counter_ns()
    with connect(path) as s:
        s.sendall(request)
        while True:
            word, = struct.unpack("<I", exactly(s, 4))
            exactly(s, word >> 8)
            if word & 255 == EXIT:
                return time.perf_counter_ns() - began


def connect_once(path):
    began = time.perf_counter_ns()
    with connect(path):
        return time.perf_counter_ns() - began


def bench_exec(opt, run, work):
    uds = os.path.join(work, "uds")
    initrd = os.path.join(work, "i.cpio")
    init = os.path.join(os.path.dirname(os.path.dirname(opt.microvm)), "guest/microvm-init")
    subprocess.run([os.path.join(common.TOP, "tools/guest-initramfs.py"), "-o", initrd, "--init", init, "--busybox"], check=True)
    program = common.compile_c(os.path.join(CACHE, "bench"), "forkexec", ["forkexec.c"], "-static")
    strings = b"do=exec\0version=1\0timeout_ms=20000\0arg=/bin/busybox\0arg=true\0"
    request = struct.pack("<I", REQUEST | len(strings) << 8) + strings
    run("run", "-d", "--name", "bench", "-k", opt.kernel, "--initrd", initrd, "-m", f"{opt.mem}M", "--cmdline", "quiet",
        "--vsock", f"uds={uds},cid=3")
    try:
        run("cp", program, "bench:/tmp/forkexec")
        rounds = []
        for _ in range(opt.rounds):
            inside = int(run("exec", "bench", "/tmp/forkexec", "100", "/bin/busybox", "true"))
            ours = [exec_once(uds, request) for _ in range(50)]
            dial = [connect_once(uds) for _ in range(50)]
            rounds.append((statistics.median(ours), inside, statistics.median(dial)))
    finally:
        run("kill", "bench")
    ours, inside, dial = (statistics.median(r[i] for r in rounds) for i in range(3))
    return {"exec_us": ours / 1e3, "inside_us": inside / 1e3, "connection_us": dial / 1e3, "ratio": ours / (inside + dial)}


def first_byte(command, env):
    began = time.perf_counter_ns()
    with subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
        got = p.stdout.read(1)
        took = time.perf_counter_ns() - began
        p.stdout.read()
    assert got and p.returncode == 0, command
    return took / 1e6


def bench_run(opt, env, work):
    opt.cmdline, opt.work, opt.rows = bench_boot.CMDLINE, os.path.join(CACHE, "bench"), ["microvm"]
    plain = bench_boot.Bench(opt)
    root = os.path.join(work, "root")
    os.makedirs(root)
    shutil.copy(plain.init, os.path.join(root, "program"))
    image = os.path.join(work, "image.ext4")
    subprocess.run([opt.microvm + "-build", "-q", "--base", "dir:" + root, "--format", "ext4", "-o", image], check=True,
                   stdout=subprocess.DEVNULL)
    command = [opt.microvm, "run", "-q", "-k", opt.kernel, "-m", f"{opt.mem}M", "--net", "none", image, "--", "/program"]
    boots, runs = [], []
    for i in range(opt.rounds + 1):
        got, why = bench_boot.watch(plain, plain.command("microvm"))
        assert got, why
        took = first_byte(command, env)
        if i:
            boots.append(got["ms"])
            runs.append(took)
    run, boot = statistics.median(runs), statistics.median(boots)
    return {"run_ms": run, "run_min": min(runs), "boot_ms": boot, "boot_min": min(boots), "ratio": run / boot}


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--rounds", type=int, default=12)
    common.add_arguments(ap, 256)
    opt = ap.parse_args()
    opt.kernel = opt.kernel or common.ring3_kernel()
    with tempfile.TemporaryDirectory() as work:
        env = dict(os.environ, XDG_RUNTIME_DIR=work)

        def run(*args):
            return subprocess.run([opt.microvm, *args], env=env, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout.decode()
        out = {"exec": bench_exec(opt, run, work), "run": bench_run(opt, env, work)}
    for name, got in out.items():
        figures = ", ".join(f"{k} {v:.1f}" for k, v in got.items() if k != "ratio")
        print(f"{name:<5} {got['ratio']:.2f} (goal {GOAL}): {figures}")
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(out, f, indent=2)
    missed = [n for n, got in out.items() if got["ratio"] > GOAL]
    for name in missed:
        say(f"{name}: {out[name]['ratio']:.2f}, at most {GOAL} is wanted")
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
