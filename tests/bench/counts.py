# SPDX-License-Identifier: MIT OR Apache-2.0
"""Counters of what some processes cost the host: exits of KVM, context switches, system
calls. They are the kernel's tracepoints, counted by perf events with a filter on thread
ids; that works where KVM's own statistics cannot be read, and what else the machine does
is not in them. Of context switches those count in which a thread goes to sleep; where it
was preempted, somebody else wanted the CPU. (A quiet machine's count of all switches is the
same: one that leaves the idle task does not reach perf.) Threads born while something
is counted are not in it, but for io_uring's workers, which are told by their names.
"""
import ctypes
import os
import struct

import procs

CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x00020000, 0x4000, 0x40000, 2
SYS_PERF_EVENT_OPEN, PERF_TYPE_TRACEPOINT, PERF_FLAG_FD_CLOEXEC = 298, 2, 8
ATTR_BYTES = 128
STATE_ASLEEP = 0xFF  # of sched_switch: 0 is runnable, 0x100 preempted
ATTR_DISABLED = 1
PERF_EVENT_IOC_SET_FILTER, PERF_EVENT_IOC_ENABLE = 0x40082406, 0x2400

EVENTS = {
    "exits": "kvm/kvm_userspace_exit",
    "mmio": "kvm/kvm_mmio",
    "pio": "kvm/kvm_pio",
    "interrupts": "kvm/kvm_set_irq",
    "sleeps": "sched/sched_switch",
    "calls": "raw_syscalls/sys_enter",
}
# The system calls that VMMs live on, by their numbers on x86_64: which ones they are
# shows where they come from. Events of the names call.NAME.
CALLS = {"ioctl": 16, "epoll_wait": 232, "epoll_pwait": 281, "poll": 7, "ppoll": 271, "read": 0, "write": 1,
         "readv": 19, "writev": 20, "pread": 17, "pwrite": 18, "preadv": 295, "pwritev": 296, "fdatasync": 75,
         "io_uring_enter": 426, "sendto": 44, "sendmsg": 46, "recvfrom": 45, "recvmsg": 47, "futex": 202,
         "sched_yield": 24, "epoll_ctl": 233, "rt_sigtimedwait": 128, "tgkill": 234}


def _filter(event, pids):
    ids = procs.threads(pids)
    if event != "sleeps":
        threads = " || ".join(f"common_pid == {t}" for _, t in ids)
        call = event.startswith("call.")
        return f"id == {CALLS[event[5:]]} && ({threads})" if call else threads
    words = [f"prev_pid == {t}" for _, t in ids] + [f'prev_comm ~ "iou-*-{t}"' for _, t in ids]
    return f"(prev_state & {STATE_ASLEEP}) && ({' || '.join(words)})"


class Counters:
    """begin() ... end(); `trouble` says why there are none."""

    def __init__(self, work):
        self.ids, self.open, self.trouble = {}, {}, None
        where = os.path.join(work, "tracefs")
        os.mkdir(where)
        libc = procs.libc
        if (libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
                or libc.mount(b"tracefs", where.encode(), b"tracefs", 0, None)):
            self.trouble = f"tracefs: {os.strerror(ctypes.get_errno())}"
            return
        for name, path in EVENTS.items():
            try:
                with open(f"{where}/events/{path}/id") as f:
                    self.ids[name] = int(f.read())
            except OSError as e:
                self.trouble = str(e)
        libc.umount2(where.encode(), MNT_DETACH)
        self.ids.update({f"call.{c}": self.ids["calls"] for c in CALLS if "calls" in self.ids})
        self.trouble = self.trouble or self.proof()

    def proof(self):
        """Counts our own calls: thread ids are others in a PID namespace."""
        try:
            self.begin([os.getpid()])
        except OSError as e:
            return f"perf events: {e.strerror}"
        for _ in range(100):
            os.getppid()
        seen = self.end()["calls"]
        return None if seen >= 100 else f"of 100 system calls {seen} were counted (a PID namespace?)"

    def begin(self, pids):
        self.end()
        for name, number in self.ids.items():
            self.open[name] = [self.one(number, cpu, _filter(name, pids)) for cpu in range(os.cpu_count())]

    @staticmethod
    def one(number, cpu, text):
        """Silent until it has its filter, or it counts the whole machine meanwhile."""
        attr = struct.pack(f"IIQ24xQ{ATTR_BYTES - 48}x", PERF_TYPE_TRACEPOINT, ATTR_BYTES, number, ATTR_DISABLED)
        fd = procs.libc.syscall(SYS_PERF_EVENT_OPEN, attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "perf_event_open")
        if procs.libc.ioctl(fd, ctypes.c_ulong(PERF_EVENT_IOC_SET_FILTER), text.encode()):
            raise OSError(ctypes.get_errno(), "a filter of perf events")
        procs.libc.ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)
        return fd

    def end(self):
        """{event: how often since begin()}"""
        got = {}
        for name, fds in self.open.items():
            got[name] = sum(struct.unpack("Q", os.read(fd, 8))[0] for fd in fds)
            for fd in fds:
                os.close(fd)
        self.open = {}
        return got
