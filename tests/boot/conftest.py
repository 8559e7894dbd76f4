# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fixtures of the boot suite. Tests name the kernel they need by what it must be able
to do, not by the computer they run on:

quick    the fastest kernel here, one vCPU, perhaps without ACPI
machine  a kernel with ACPI and SMP that is small: lean, else Debian's for the cloud
debian   Debian's stock kernel for the cloud, as an ordinary user would take it
named    the first that there is of those that a test names
"""
import os

import pytest

import beds
import guests


class Guest:
    """A kernel in its bed, and the ways to run something in it."""

    def __init__(self, kernel):
        self.kernel, self.bed = kernel, beds.bed_for(kernel)
        self.slow = self.bed.slow

    def words(self, commands, *options, cmdline="quiet", kernel=None, initrd=True,
              busybox=False):
        argv = [guests.MICROVM, "run", "--kernel", kernel or self.kernel.file]
        if initrd:
            argv += ["--initrd", self.kernel.initrd(busybox)]
        return argv + ["--cmdline", "%s -- %s" % (cmdline, commands), *options]

    def run(self, commands, *options, timeout=30, share=None, mem=2048, give=b"",
            **how):
        return self.bed.run(self.words(commands, *options, **how), timeout, share, mem,
                            give)

    def program(self, name, *words, timeout=60, **settings):
        """One of the C programs; its settings are a machine's, as KEY=VALUE."""
        settings.setdefault("kernel", self.kernel.file)
        settings.setdefault("initrd", self.kernel.initrd())
        settings.setdefault("memory", "256M")
        argv = [os.path.join(guests.PROGRAMS, name), *words]
        argv += ["%s=%s" % item for item in settings.items()]
        return self.bed.run(argv, timeout)


def first_of(*names):
    reasons = []
    for name in names:
        try:
            return Guest(guests.kernel(name))
        except guests.Absent as why:
            reasons.append(str(why))
    pytest.skip("; ".join(reasons))


@pytest.fixture(scope="session")
def quick():
    if beds.has_hardware_virtualization():
        return first_of("lean", "debian-cloud-6.1")
    return first_of("ring3", "lean", "debian-cloud-6.1")


@pytest.fixture(scope="session")
def machine():
    return first_of("lean", "debian-cloud-6.1")


@pytest.fixture(scope="session")
def debian():
    return first_of("debian-cloud-6.1")


@pytest.fixture(scope="session")
def named():
    return first_of


def pytest_terminal_summary(terminalreporter):
    for name, bed in beds.chosen.items():
        terminalreporter.write_line("bed: %s runs in %s: %s" % (name, bed.name, bed.why)
                                    if bed.name != "native" else
                                    "bed: %s runs natively: %s" % (name, bed.why))
    for what in beds.again:
        terminalreporter.write_line("bed: tried again: " + what)
