#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where the time from exec to the first guest instruction goes, from the counters that
`microvm run --stats` writes (monotonic clock, the same as ours here).

  bench_start.py [-n RUNS] [--json FILE]
"""
import argparse
import json
import os
import statistics
import subprocess
import time

import bench_boot

STEPS = [("exec and main", "exec", "created_ns"), ("files, hypervisor, memory, devices", "created_ns", "started_ns"),
         ("kernel, tables, vCPU", "started_ns", "entered_ns"), ("all", "exec", "entered_ns")]


def one(bench, stats):
    at = time.monotonic_ns()
    subprocess.run(bench.command("microvm", " bench=reboot") + ["--stats", stats],
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, check=False)
    with open(stats) as f:
        return dict(json.load(f), exec=at)


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--runs", type=int, default=20)
    bench_boot.add_arguments(ap)
    opt = ap.parse_args()
    bench = bench_boot.Bench(opt)
    runs = [one(bench, os.path.join(bench.work, "stats.json")) for _ in range(opt.runs + 1)][1:]
    out = {}
    for name, a, b in STEPS:
        ms = [(r[b] - r[a]) / 1e6 for r in runs]
        out[name] = {"ms": statistics.median(ms), "min": min(ms), "max": max(ms)}
        print(f"{name:<36} {out[name]['ms']:>8.2f} ms ({min(ms):.2f}-{max(ms):.2f})")
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(out, f, indent=2)


if __name__ == "__main__":
    main()
