#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Devices: the same guest program (guest/) under several VMMs, rows in turn.

  bench_dev.py [-n ROUNDS] [-v ROW,...] [-t WORD,...] [--quick] [--json FILE]
  bench_dev.py --table FILE [-b ROW]      the tables and limits of an earlier run

Prints medians with ratios to a base row, what one operation costs (a round of its own,
which is not timed), and the limits that we keep or miss; the status is 1 when one was missed
or something failed. --quick: our rows alone, counts alone; for CI.
-t takes groups (blk) and figures (blk_read_qd1). Needs /dev/kvm and root: a network
namespace of its own, tap devices, counters. docs/performance.md says more.
"""
import argparse
import ctypes
import json
import mmap
import os
import shutil
import signal
import sys
import tempfile
import time

import device_report
import device_run
import hostnet
import limits
import procs
import vmms
from common import add_arguments, compile_c, make_initrd, ring3_kernel, say, WARNINGS
from counts import Counters

COUNT_AGAIN = 2
GUEST = ["guest/main.c", "guest/disk.c", "guest/stream.c", "guest/small.c", "guest/bench.h"]


def choose_rows(opt):
    """[(row, its words)]; those that cannot run are named and left out."""
    wanted, rows = [r for r in opt.rows.split(",") if r], []
    known = vmms.device_rows(opt)
    for name in set(wanted) - {v.name for v in known}:
        sys.exit(f"bench_dev: no row '{name}'; there are {' '.join(v.name for v in known)}")
    for v in known:
        if wanted and v.name not in wanted or opt.quick and not v.name.startswith("microvm"):
            continue
        why = v.missing()
        words = [w for w in opt.tests.split(",") if vmms.group_of(w) in v.groups]
        if v.tap and not opt.has_tun and "net" in map(vmms.group_of, words):
            say(f"{v.name}: net left out: no /dev/net/tun")
            words = [w for w in words if vmms.group_of(w) != "net"]
        if why:
            say(f"{v.name}: left out: {why}")
        elif words:
            rows.append((v, words))
    return rows


def prepare(opt):
    """Programs, initial RAM disk and disk image in the scratch folder."""
    opt.program = compile_c(opt.work, "guest-bench", GUEST, "-static", *WARNINGS)
    opt.peer = compile_c(opt.work, "peer", ["peer.c"], "-pthread", *WARNINGS)
    opt.netd_guest = compile_c(opt.work, "netd", ["netd.c"], *WARNINGS)
    opt.initrd = make_initrd(os.path.join(opt.work, "initrd"), opt.program)
    opt.image = os.path.join(opt.work, "disk")
    with open(opt.image, "w+b") as f:
        for _ in range(opt.disk_mib):
            f.write(os.urandom(1 << 20))
        f.flush()
        os.fsync(f.fileno())
        opt.pinned = pin(f)


def pin(f):
    """Keeps a file in the page cache, so that the disk below it has no part in a figure."""
    pages = mmap.mmap(f.fileno(), 0)
    if procs.libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(pages))), ctypes.c_size_t(len(pages))):
        say("the disk image cannot be kept in the page cache: " + os.strerror(ctypes.get_errno()))
    return pages


def one(vmm, words, opt, tag):
    begin = time.monotonic()
    got = device_run.measure(vmm, words, opt, tag)
    say(f"round {tag}, {vmm.name}: {time.monotonic() - begin:.1f} s"
        + (f" FAILED: {got['error']}" if "error" in got else "") + (f" {got['errors']}" if "errors" in got else ""))
    return got


def measure(rows, opt):
    report = {"rounds": opt.rounds, "mem_mib": opt.mem, "seconds": opt.seconds, "count": {},
              "rows": {v.name: [] for v, _ in rows}}
    for i in range(opt.rounds):
        first = i % len(rows)
        for v, words in rows[first:] + rows[:first]:
            report["rows"][v.name].append(one(v, words, opt, str(i + 1)))
        save(report, opt)
    if opt.count:
        opt.counters = Counters(opt.work)
        if opt.counters.trouble:
            say(f"counts: not run: {opt.counters.trouble}")
            return report
        for v, words in rows:
            if v.is_vm:
                report["count"][v.name] = one(v, words, opt, "count")
        for i in range(COUNT_AGAIN):
            count_again(report, rows, opt, f"again {i + 1}")
        save(report, opt)
    return report


def count_again(report, rows, opt, tag):
    """What a busy machine does to a count is to raise it: of those over a limit the
    lowest of three is judged."""
    missed = limits.missed_counts(report, opt.quick)
    for v, _ in rows:
        if v.name not in missed:
            continue
        got = one(v, sorted(missed[v.name]), opt, tag).get("counts", {})
        kept = report["count"][v.name]["counts"]
        for figure in missed[v.name] & set(got):
            n, m = kept[figure]["n"], got[figure]["n"]
            for event, count in got[figure].items():
                kept[figure][event] = min(kept[figure][event], count * n / m)


def save(report, opt):
    if opt.json:
        with open(opt.json, "w") as f:
            json.dump(report, f, indent=1)


def conclude(report, opt):
    """Tables, failures, limits; the exit status."""
    if any(report["rows"].values()):
        device_report.table(report, opt.base, opt.spread)
    device_report.table_counts(report)
    if opt.calls:
        device_report.table_calls(report)
    failed = list(device_report.failures(report))
    for text in failed:
        print("FAILED  ", text)
    print()
    missed, ran = limits.show(limits.judge(report, opt.quick))
    if failed or missed:
        return 1
    return 0 if ran else 77


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("-n", "--rounds", type=int, default=7)
    ap.add_argument("-v", "--rows", default="", help="default: all that can run")
    ap.add_argument("-t", "--tests", default=",".join(vmms.GROUPS))
    ap.add_argument("-b", "--base", default="firecracker")
    ap.add_argument("-s", "--seconds", type=float, default=1, help="per throughput figure")
    ap.add_argument("--idle", type=float, default=8, help="seconds of sleep")
    ap.add_argument("--touch", type=int, default=200, help="MiB of guest RAM")
    ap.add_argument("--timeout", type=float, default=300, help="seconds per VM")
    ap.add_argument("--disk-mib", type=int, default=1024)
    ap.add_argument("--dir", default=tempfile.gettempdir(), help="for the disk image; its file system is part of a flush")
    ap.add_argument("--no-count", dest="count", action="store_false", help="no round that counts")
    ap.add_argument("--calls", action="store_true", help="also which system calls an operation makes")
    ap.add_argument("--alone", action="store_true", help="on a busy machine: VMMs go before other work, vCPUs on a processor "
                    "of their own")
    ap.add_argument("--quick", action="store_true")
    ap.add_argument("--spread", action="store_true", help="lowest and highest beside each median")
    ap.add_argument("--table", metavar="FILE")
    add_arguments(ap, 512)
    opt = ap.parse_args()
    if opt.quick:
        opt.rounds, opt.seconds, opt.disk_mib, opt.idle = 0, min(opt.seconds, 0.5), 256, 8
    opt.counters, opt.floor = None, ""
    return opt


def main():
    opt = arguments()
    if opt.table:
        with open(opt.table) as f:
            return conclude(json.load(f), opt)
    why = ("no /dev/kvm" if not os.access("/dev/kvm", os.R_OK | os.W_OK) else
           "it takes root to count, and to make network devices" if os.geteuid() else None)
    if why:
        say(f"bench_dev: not run: {why}")
        return 77
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    opt.kernel = os.path.abspath(opt.kernel or ring3_kernel())
    opt.has_tun = os.path.exists("/dev/net/tun")
    rows = choose_rows(opt)
    if not rows:
        sys.exit("bench_dev: no row can run")
    try:
        hostnet.enter()
        procs.hurry()
    except OSError as e:
        say(f"bench_dev: not run: {e.strerror}: {os.strerror(e.errno)}")
        return 77
    opt.work = tempfile.mkdtemp(prefix="bdev", dir=opt.dir)
    opt.has_net = any(vmms.group_of(w) == "net" for _, ws in rows for w in ws)
    try:
        prepare(opt)
        return conclude(measure(rows, opt), opt)
    finally:
        shutil.rmtree(opt.work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
