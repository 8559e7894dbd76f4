# SPDX-License-Identifier: MIT OR Apache-2.0
"""Processors, memory sizes, interrupt rungs, ways in: one small SMP kernel."""
import re

import pytest

from test_kernels import check_machine

SIZES = [("64M", 1), ("3584M", 2), ("6G", 4)]


@pytest.mark.parametrize("memory, cpus", SIZES)
def test_memory_and_cpus(machine, memory, cpus):
    if memory == "64M" and machine.kernel.name != "lean":
        pytest.skip("64 MiB are too few for %s" % machine.kernel.name)
    mib = int(memory[:-1]) * (1024 if memory.endswith("G") else 1)
    r = machine.run("cpus mem touch=%d poweroff" % min(mib // 3, 400),
                    "--memory", memory, "--cpus", str(cpus))
    assert r.status == 0, r
    check_machine(r, cpus, mib)
    assert r.said("touch").endswith(" 0 wrong"), r


@pytest.mark.parametrize("memory", ["64M", "3584M", "6G"])
def test_memory_native(quick, memory):
    if quick.kernel.name not in ("ring3", "lean"):
        pytest.skip("64 MiB are too few for %s" % quick.kernel.name)
    mib = int(memory[:-1]) * (1024 if memory.endswith("G") else 1)
    r = quick.run("cpus mem touch=%d %s" % (min(mib // 3, 256), quick.kernel.end),
                  "--memory", memory)
    assert r.status == 0, r
    check_machine(r, 1, mib)
    assert r.said("touch").endswith(" 0 wrong"), r


def without_times(r):
    """The guest's words, without what differs from run to run."""
    text = re.sub(r"\[ *\d+\.\d+\]", "[]", r.text)
    lines = [t for t in text.splitlines() if t.startswith(("MV ", "GUEST"))]
    return [t for t in lines if not t.startswith("MV rng")]


def test_interrupt_rungs_agree(machine, tmp_path):
    """Rung 2 and rung 3 of the interrupt ladder: the same guest, the same output."""
    said = {}
    for mode in ("full", "split"):
        disk = tmp_path / mode
        with open(disk, "wb") as f:
            f.truncate(16 << 20)
        r = machine.run("cpus mem rng disk=/dev/vda,7,4 poweroff", "--cpus", "2",
                        "--rng", "--interrupts", mode, "--disk", str(disk),
                        share=tmp_path)
        assert r.status == 0, r
        said[mode] = without_times(r) + [disk.read_bytes()]
    assert said["full"] == said["split"]
    assert len(said["full"]) > 5


def test_interrupt_rungs_agree_native(quick, tmp_path):
    said = {}
    for mode in ("full", "split"):
        disk = tmp_path / mode
        with open(disk, "wb") as f:
            f.truncate(64 << 20)
        r = quick.run("cpus mem rng disk=/dev/vda,9,32 " + quick.kernel.end,
                      "--rng", "--interrupts", mode, "--disk", str(disk), share=tmp_path)
        assert r.status == 0, r
        said[mode] = without_times(r) + [disk.read_bytes()]
    assert said["full"] == said["split"]


def test_without_acpi(machine):
    """MP table and virtio_mmio.device= instead of ACPI; such a guest can only reboot."""
    if machine.kernel.name != "lean":
        pytest.skip("Debian's kernels look for neither")
    r = machine.run("cpus rng reboot", "--rng", "--acpi", "off", "--cpus", "2")
    assert r.status == 0, r
    assert r.said("cpus_ran") == "2", r
    assert int(r.said("rng").split()[0]) > 200, r


@pytest.mark.parametrize("protocol", ["linux", "pvh"])
def test_ways_in(quick, protocol):
    """An ELF kernel by the 64-bit entry and by PVH."""
    r = quick.run("uname " + quick.kernel.end, "--boot", protocol,
                  kernel=quick.kernel.vmlinux)
    assert r.status == 0, r
    assert r.said("uname"), r
