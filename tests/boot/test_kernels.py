# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each kernel boots to /init and sees the machine that was asked for."""
import pytest

CASES = [
    ("ring3", 1, "256M", ()),
    ("lean", 1, "256M", ()),
    ("debian-cloud-6.1", 1, "512M", ()),
    ("debian-cloud-6.12", 1, "512M", ()),
    ("debian-6.1", 1, "3584M", ()),
    ("debian-6.12", 4, "1G", ("--interrupts", "split")),
]


def check_machine(r, cpus, memory_mib):
    assert r.said("cpus") == str(cpus), r
    assert r.said("cpus_ran") == str(cpus), r
    total_kib = int(r.said("memtotal").split()[0])
    # What the kernel takes for itself before it counts: its image, and per page 64 bytes.
    assert total_kib <= memory_mib * 1024, r
    assert total_kib > memory_mib * 1024 * 0.97 - 70 * 1024, r


@pytest.mark.parametrize("name, cpus, memory, options", CASES)
def test_boots_to_init(named, name, cpus, memory, options):
    guest = named(name)
    r = guest.run("uname hypervisor cpus mem rng " + guest.kernel.end,
                  "--rng", "--cpus", str(cpus), "--memory", memory, *options)
    assert r.status == 0, r
    assert "GUEST-INIT-UP" in r.text, r
    assert "error" not in "".join(t for t in r.text.splitlines() if t[:3] == "MV "), r
    assert r.said("uname").startswith("Linux 6."), r
    assert r.said("hypervisor") == "1", r
    assert int(r.said("rng").split()[0]) > 200, r
    mib = int(memory[:-1]) * (1024 if memory.endswith("G") else 1)
    check_machine(r, cpus, mib)
