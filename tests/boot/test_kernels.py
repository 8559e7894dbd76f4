# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each kernel boots to /init and sees the machine that was asked for."""
import os
import re

import pytest

import guests

CASES = [
    ("ring3", 1, "256M", ()),
    ("lean", 1, "256M", ()),
    ("default", 2, "256M", ("--balloon",)),
    ("fast", 1, "128M", ("--acpi", "off")),  # nobody looks into a packed kernel
    ("debian-cloud-6.1", 1, "512M", ()),
    ("debian-cloud-6.12", 4, "512M", ()),
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


@pytest.mark.parametrize("name", ["default", "fast"])
def test_ours_from_the_elf_file(named, name, tmp_path):
    """What `microvm run` takes where no kernel is named, with disks, over each transport
    that the kernel has."""
    guest = named(name)
    for transport in ["mmio", "pci"][:2 if name == "default" else 1]:
        disk = tmp_path / transport
        with open(disk, "wb") as f:
            f.truncate(16 << 20)
        r = guest.run("cpus rng disk=/dev/vda,7,4 " + guest.kernel.end, "--rng",
                      "--transport", transport, "--disk", str(disk), share=tmp_path,
                      kernel=guest.kernel.vmlinux)
        assert r.status == 0, r
        assert "error" not in "".join(t for t in r.text.splitlines() if t[:3] == "MV "), r
        assert int(r.said("rng").split()[0]) > 200, r


def test_the_default_has_a_power_button(named):
    guest = named("default")
    r = guest.program("api_button", timeout=60, kernel=guest.kernel.vmlinux)
    assert r.status == 0, r


@pytest.mark.parametrize("name", ["default", "fast"])
def test_no_line_of_a_configuration_was_dropped(named, name):
    """R132 to R147: what was asked for is what the kernel was built with."""
    folder = os.path.dirname(os.path.realpath(named(name).kernel.vmlinux))
    wanted = {}
    for part in ["common", "x86_64", name, name + "-x86_64"]:
        with open(os.path.join(guests.ROOT, "guest", "kernel", part + ".config")) as f:
            wanted.update(re.findall(r"^(CONFIG_\w+)=(.*)$", f.read(), re.M))
    with open(os.path.join(folder, "config")) as f:
        have = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", f.read(), re.M))
    assert {n: have.get(n, "n") for n in wanted} == wanted
    if name == "default":
        size = os.path.getsize(os.path.join(folder, "vmlinuz"))
        assert 5e6 <= size <= 8e6, size
