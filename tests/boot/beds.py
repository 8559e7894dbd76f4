# SPDX-License-Identifier: MIT OR Apache-2.0
"""Where guests run: natively, or inside tools/kvmbox.

A kernel runs natively where /dev/kvm has hardware virtualization behind it, and the ring3
kernel wherever /dev/kvm is. Everything else runs in kvmbox, an emulated machine with real
KVM, twenty to fifty times slower: tests ask `bed.slow` and move fewer bytes there. What
looks native is tried once, with a boot that must reach the first line of /init within
seconds; MICROVM_BED=native or kvmbox decides instead.
"""
import os
import re
import signal
import subprocess
import time

import guests

ROOT = guests.ROOT
KVMBOX = os.path.join(ROOT, "tools", "kvmbox")
PROBE_SECONDS = 15
TRIES = 3  # in kvmbox, where it is to blame
TROUBLES = ((b"PANIC: double fault", "gave a double fault"), (b"Oops: ", "gave an Oops"),
            (b"BUG: kernel NULL pointer", "gave a null pointer"))


class Result:
    def __init__(self, status, out, err, seconds):
        self.status, self.out, self.err, self.seconds = status, out, err, seconds

    @property
    def text(self):
        return self.out.decode(errors="replace").replace("\r", "")

    def said(self, name):
        """What the guest said in its line "MV name ..."; None when it did not."""
        found = re.search(r"^MV %s ?(.*)$" % re.escape(name), self.text, re.M)
        return found.group(1).strip() if found else None

    def __repr__(self):
        return "status %d after %.1f s\n--- stdout\n%s\n--- stderr\n%s" % (
            self.status, self.seconds, self.text[-4000:],
            self.err.decode(errors="replace")[-3000:])


class Bed:
    """`command` is put before a program; `why` tells the user."""

    def __init__(self, name, why, slow):
        self.name, self.why, self.slow = name, why, slow

    def wrap(self, argv, timeout, share=None, mem=2048):
        if self.name == "native":
            return argv
        box = [KVMBOX, "--timeout", str(timeout), "--mem", str(mem)]
        if share:
            box += ["--share", str(share)]
        return box + ["--"] + argv

    def popen(self, argv, timeout=60, share=None, mem=2048):
        return subprocess.Popen(
            self.wrap(argv, timeout, share, mem), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def run(self, argv, timeout=60, share=None, mem=2048, give=b""):
        """Runs to the end; `timeout` is native, and six times that elsewhere."""
        timeout *= 6 if self.slow else 1
        argv = self.limited(argv, timeout)
        stood = 0
        for _ in range(TRIES - 1):
            r = self.once(argv, timeout, share, mem, give)
            trouble = self.trouble(r)
            stood += trouble == "stood still or ended"  # which takes much time
            if not trouble or stood > 1:
                return r
            again.append("kvmbox itself %s: %s" % (trouble, " ".join(argv[-4:])))
        return self.once(argv, timeout, share, mem, give)

    def limited(self, argv, timeout):
        """A machine that hangs in kvmbox is ended by microvm itself, while kvmbox lives:
        so that can be told from an emulator that hangs."""
        ours = argv[:2] == [guests.MICROVM, "run"] and "--timeout" not in argv
        if self.name != "kvmbox" or not ours:
            return argv
        return argv[:2] + ["--timeout", "%ds" % max(timeout // 2, timeout - 30)] + argv[2:]

    def trouble(self, r):
        """QEMU's emulation of nested virtualization hangs now and then, and before QEMU 10
        gives Linux wrong flags and old instructions in its early boot, under QEMU's own
        VMM, too (EFLAGS 41ca320a): a double fault, a breakpoint that nobody set.
        When it does, nothing has been said about us; the closing lines name each."""
        if self.name != "kvmbox":
            return None
        if b"kvmbox: time-out" in r.err or b"kvmbox: the machine ended by itself" in r.err:
            return "stood still or ended"
        for mark, words in TROUBLES:
            if mark in r.out or mark in r.err:
                return words
        return None

    def once(self, argv, timeout, share, mem, give):
        began = time.time()
        p = self.popen(argv, timeout, share, mem)
        try:
            out, err = p.communicate(give, timeout + 20)
        except subprocess.TimeoutExpired:
            os.killpg(p.pid, signal.SIGKILL)
            out, err = p.communicate()
            err += b"\n(killed by the test after %d s)" % timeout
        return Result(p.returncode, out, err, time.time() - began)


again = []  # what was tried twice; the closing lines say so


def has_hardware_virtualization():
    with open("/proc/cpuinfo") as f:
        return bool(re.search(r"^flags\s*:.*\b(vmx|svm)\b", f.read(), re.M))


def can_open_kvm():
    return os.access("/dev/kvm", os.R_OK | os.W_OK)


def reaches_init(kernel):
    """One native boot, for what cannot be known by looking."""
    bed = Bed("native", "", False)
    argv = [guests.MICROVM, "run", "-q", "--kernel", kernel.file, "--initrd",
            kernel.initrd(), "--timeout", "%ds" % PROBE_SECONDS, "--cmdline", "quiet --"]
    return b"GUEST-INIT-UP" in bed.run(argv, PROBE_SECONDS + 5).out


chosen = {}


def bed_for(kernel):
    if kernel.name not in chosen:
        chosen[kernel.name] = choose(kernel)
    return chosen[kernel.name]


def choose(kernel):
    native = Bed("native", "", False)
    box = Bed("kvmbox", "", True)
    forced = os.environ.get("MICROVM_BED")
    if forced:
        box.why = native.why = "MICROVM_BED says so"
        return native if forced == "native" else box
    if not can_open_kvm():
        box.why = "/dev/kvm cannot be opened here"
    elif not has_hardware_virtualization() and kernel.name != "ring3":
        box.why = "this /dev/kvm has no hardware virtualization (no vmx or svm)"
    elif not reaches_init(kernel):
        box.why = "a native boot did not reach /init within %d s" % PROBE_SECONDS
    else:
        native.why = ("hardware virtualization" if has_hardware_virtualization()
                      else "this kernel needs none")
        return native
    return box
