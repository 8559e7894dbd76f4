#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Boot: ours beside other VMMs and the floor program, in one interleaved run.

  bench_boot.py [-n ROUNDS] [-m MIB] [--json FILE] [--microvm PATH] [ROW...]

The guest is of one program: the initrd has a static init and nothing else. Every row
boots the same kernel with the same initrd and command line, serial port on
standard output, no disk and no network, and is timed from exec to the line that the
guest's init prints. One run of each row per round; the first round warms the caches and
is dropped. Returns of KVM_RUN are counted in a run of its own under strace, which
changes the times and not the count.

"exits": port and device memory accesses that KVM has seen, where it tells (debugfs; it
does inside tools/kvmbox).

Kernel: the ring3 kernel (tools/guest-kernel.sh ring3), which runs at full speed on any
/dev/kvm; --kernel FILE for another. A row whose program is missing is named and skipped.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from types import SimpleNamespace

import common
import vmms
from common import CACHE, say

CMDLINE = "console=ttyS0 loglevel=1 reboot=t panic=-1 pci=off"


class Bench:
    """What all rows share: the files and the machine's size."""

    def __init__(self, opt):
        self.mem, self.work = opt.mem, opt.work
        self.kernel = opt.kernel or common.ring3_kernel()
        self.cmdline = opt.cmdline
        self.bootwatch = common.compile_c(self.work, "bootwatch", ["bootwatch.c"])
        self.init = common.compile_c(self.work, "guest-init", ["guest-init.c"], "-static", "-nostdlib", "-ffreestanding")
        self.initrd = common.make_initrd(os.path.join(self.work, "init.cpio"), self.init)
        opt.floor = common.compile_c(self.work, "floor", ["floor.c"])
        self.vmms = vmms.boot_rows(opt)

    def command(self, row, more=""):
        """The row's command line; `more` is added to the kernel's."""
        return self.vmms[row].command(SimpleNamespace(
            kernel=self.kernel, initrd=self.initrd, cmdline=self.cmdline + more, mem=self.mem, work=self.work,
            words=[], disk=None, tap=None, uds=None, hvc=None, rng=False))


def watch(bench, command, prefix=()):
    """One run: the dict that bootwatch prints, or None with a word about why."""
    r = subprocess.run([bench.bootwatch, "-m", str(bench.mem), "-t", "120", "--", *prefix, *command],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    text = r.stdout.decode(errors="replace")
    if "ms=" not in text.splitlines()[-1]:
        return None, text.strip()[-400:]
    return {k: float(v) for k, v in re.findall(r"(\w+)=(-?[\d.]+)", text.splitlines()[-1])}, ""


def count_returns(bench, command):
    """Returns of KVM_RUN to user space until the mark, by strace; None without strace."""
    if not shutil.which("strace"):
        return None
    with tempfile.TemporaryDirectory() as d:
        got, why = watch(bench, command, ("strace", "-f", "-qq", "-e", "trace=ioctl", "-o", d + "/trace"))
        if got is None:
            say(f"counting failed: {why}")
            return None
        with open(d + "/trace", errors="replace") as f:
            return sum("KVM_RUN" in line and "resumed" not in line for line in f)


def measure(bench, rows, rounds):
    runs = {r: [] for r in rows}
    for i in range(rounds + 1):
        for r in list(runs):
            got, why = watch(bench, bench.command(r))
            if got is None:
                say(f"{r}: failed: {why}")
                del runs[r]
            elif i:
                runs[r].append(got)
        say(f"round {i} of {rounds}")
    return runs


def shown(count):
    return "-" if count is None else f"{count:.0f}"


def table(runs, returns):
    out = {}
    print(f"{'VMM':<14}{'ms median':>10}{'min':>8}{'max':>8} | {'over KiB':>9}{'anon KiB':>9}{'guest MiB':>10} | {'returns':>8}{'exits':>7}")
    for r, got in sorted(runs.items(), key=lambda kv: statistics.median(g["ms"] for g in kv[1])):
        med = {k: statistics.median(g[k] for g in got) for k in got[0]}
        out[r] = {"ms": med["ms"], "ms_min": min(g["ms"] for g in got), "ms_max": max(g["ms"] for g in got),
                  "over_kib": med["over_kb"], "anon_kib": med["anon_kb"], "guest_kib": med["guest_kb"],
                  "returns": returns.get(r), "rounds": len(got), "exits": med["io"] + med["mmio"] if med["io"] >= 0 else None}
        o = out[r]
        print(f"{r:<14}{o['ms']:>10.1f}{o['ms_min']:>8.1f}{o['ms_max']:>8.1f} | {o['over_kib']:>9.0f}{o['anon_kib']:>9.0f}"
              f"{o['guest_kib'] / 1024:>10.1f} | {shown(o['returns']):>8}{shown(o['exits']):>7}")
    if "microvm" in out and "floor" in out:
        out["microvm"]["of_floor"] = out["microvm"]["ms"] / out["floor"]["ms"]
        print(f"microvm is {out['microvm']['of_floor']:.2f} of the floor program (the goal is 1.10, and to be ahead of all others)")
    return out


def available(bench, rows):
    kept = []
    for r in rows:
        why = bench.vmms[r].missing()
        if why:
            say(f"{r}: left out: {why}")
        else:
            kept.append(r)
    return kept


LIMITS = {"returns": 90, "over_kib": 2048, "anon_kib": 512}


def check(row):
    """The limits that hold on a busy machine too; the words of what is over one."""
    return [f"{key} is {row[key]:g}, at most {most} is allowed" for key, most in LIMITS.items()
            if row[key] is not None and row[key] > most]


def add_arguments(ap):
    common.add_arguments(ap, 256)
    ap.add_argument("--cmdline", default=CMDLINE)
    ap.add_argument("--work", default=os.path.join(CACHE, "bench"))
    ap.add_argument("rows", nargs="*", default=["microvm", "floor", "firecracker", "libkrun", "qemu"])


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--rounds", type=int, default=12)
    ap.add_argument("--no-strace", action="store_true", help="do not count returns of KVM_RUN")
    ap.add_argument("--check", action="store_true", help="fail when our own row is over a limit that is no time")
    add_arguments(ap)
    opt = ap.parse_args()
    bench = Bench(opt)
    rows = available(bench, opt.rows)
    returns = {} if opt.no_strace else {r: count_returns(bench, bench.command(r)) for r in rows}
    out = table(measure(bench, rows, opt.rounds), returns)
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump({"kernel": os.path.basename(bench.kernel), "mem_mib": opt.mem, "cmdline": opt.cmdline, "rows": out},
                      f, indent=2)
    return 1 if opt.check and any(say(f"microvm: {w}") or True for w in check(out["microvm"])) else 0


if __name__ == "__main__":
    sys.exit(main())
