#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Idle: how often the threads of a VMM wake up while its guest sleeps.

  bench_idle.py [-s SECONDS] [--json FILE] [ROW...]

Boots each row of bench_boot.py in turn, waits until the guest's init sleeps, then counts
the voluntary context switches of each thread for SECONDS. vCPU threads wake up for the
guest's own timers; every other thread has no reason to.
"""
import argparse
import json
import subprocess
import time

import bench_boot
import procs


def measure(command, seconds):
    p = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        for line in p.stdout:
            if b"GUEST-INIT-UP" in line:
                break
        time.sleep(2)
        before = procs.activity([p.pid])
        time.sleep(seconds)
        after = procs.activity([p.pid])
    finally:
        p.kill()
        p.wait()
    return {f"{name} {tid}": n - before.get(tid, (name, 0))[1] for tid, (name, n, _) in after.items()}


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-s", "--seconds", type=float, default=10)
    bench_boot.add_arguments(ap)
    opt = ap.parse_args()
    bench = bench_boot.Bench(opt)
    out = {}
    for r in bench_boot.available(bench, opt.rows):
        counts = measure(bench.command(r), opt.seconds)
        out[r] = counts
        print(f"{r:<14} {sum(counts.values()):>6} wake-ups in {opt.seconds:g} s: "
              + ", ".join(f"{k.rsplit(' ', 1)[0]} {v}" for k, v in sorted(counts.items(), key=lambda kv: -kv[1])))
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(out, f, indent=2)


if __name__ == "__main__":
    main()
