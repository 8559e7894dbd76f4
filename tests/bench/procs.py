# SPDX-License-Identifier: MIT OR Apache-2.0
"""Processes as the host sees them: threads, wake-ups, memory; and their orderly end."""
import ctypes
import os
import signal
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
PR_SET_PDEATHSIG = 1


def tree(pid):
    """The process and its descendants."""
    children = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as f:
                children.setdefault(int(f.read().rsplit(")", 1)[1].split()[1]), []).append(int(name))
        except (OSError, IndexError):
            pass  # has ended meanwhile
    found = [pid]
    for p in found:
        found += children.get(p, [])
    return found


def threads(pids):
    """[(process, thread id)] of these processes."""
    found = []
    for p in pids:
        try:
            found += [(p, int(t)) for t in os.listdir(f"/proc/{p}/task")]
        except OSError:
            pass
    return found


def activity(pids):
    """{thread id: (name, voluntary context switches, CPU ns)}"""
    out = {}
    for p, t in threads(pids):
        try:
            with open(f"/proc/{p}/task/{t}/status") as f:
                fields = dict(line.split(":", 1) for line in f if ":" in line)
            with open(f"/proc/{p}/task/{t}/schedstat") as f:
                out[t] = fields["Name"].strip(), int(fields["voluntary_ctxt_switches"]), int(f.read().split()[0])
        except (OSError, KeyError, IndexError):
            pass
    return out


def memory(pids, guest_mib):
    """Resident KiB outside guest RAM (mappings of at least half of it), anonymous part."""
    over = anon = 0
    for p in pids:
        try:
            with open(f"/proc/{p}/smaps") as f:
                lines = f.read().splitlines()
        except OSError:
            continue
        for line in lines:
            word = line.split()
            if not word[0].endswith(":"):
                low, high = (int(x, 16) for x in word[0].split("-"))
                guest = high - low >= guest_mib << 19
            elif not guest and word[0] == "Rss:":
                over += int(word[1])
            elif not guest and word[0] == "Anonymous:":
                anon += int(word[1])
    return over, anon


def hurry():
    """For this program alone, which must not be late when a guest says that it begins."""
    os.setpriority(os.PRIO_PROCESS, 0, -10)


def precede(pid):
    """The process's session goes before what else the machine does."""
    try:
        with open(f"/proc/{pid}/autogroup", "w") as f:
            f.write("-20")
    except OSError:  # no autogroups
        os.setpriority(os.PRIO_PGRP, pid, -20)


def place(pids):
    """vCPUs on the last processor, all other threads on the first."""
    last = os.cpu_count() - 1
    for pid, tid in threads(pids):
        try:
            with open(f"/proc/{pid}/task/{tid}/comm") as f:
                name = f.read()
            os.sched_setaffinity(tid, {last if "cpu" in name.lower() else 0})
        except OSError:
            pass  # it has ended


def _child():
    os.setpriority(os.PRIO_PROCESS, 0, 0)
    os.setsid()
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(command, **options):
    """A process with a group of its own, which ends with this program at the latest."""
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_child, **options)


def stop(process):
    for sig, wait_s in ((signal.SIGTERM, 2), (signal.SIGKILL, 5)):
        if process.poll() is not None:
            break
        os.killpg(process.pid, sig)
        try:
            process.wait(wait_s)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)  # descendants that stayed
    except (ProcessLookupError, PermissionError):
        pass
