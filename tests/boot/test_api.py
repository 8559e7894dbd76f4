# SPDX-License-Identifier: MIT OR Apache-2.0
"""What needs the library itself: C programs linked with it."""
import os
import signal
import threading

import pytest

import guests


def test_pause_and_clock(quick):
    r = quick.program("api_pause")
    assert r.status == 0, r


def test_pause_and_clock_smp(machine):
    r = machine.program("api_pause", cpus="2")
    assert r.status == 0, r


@pytest.mark.parametrize("transport", ["mmio", "pci"])
def test_balloon_takes_and_gives_back(quick, transport):
    r = quick.program("api_balloon", balloon="on", transport=transport, timeout=120)
    assert r.status == 0, r


def test_machines_beside_each_other(quick):
    r = quick.program("api_two")
    assert r.status == 0, r


def test_cycles_leave_nothing_behind(quick):
    """500 machines made, started and killed: descriptors, threads, mappings, bytes."""
    r = quick.program("api_cycles", "20" if quick.slow else "500", "20", timeout=120)
    assert r.status == 0, r


def test_cycles_with_all_devices(quick, tmp_path):
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    r = quick.program("api_cycles", "5" if quick.slow else "60", "200", disk=disk,
                      rng="on", balloon="on", console="virtio", interrupts="split")
    assert r.status == 0, r


def test_the_example_embeds_a_machine(quick):
    """examples/embed.c: the guest's console on its standard output, until it is ended."""
    program = os.path.join(guests.BUILD, "examples", "embed")
    p = quick.bed.popen([program, quick.kernel.file, quick.kernel.initrd()], timeout=120)
    killer = threading.Timer(100, os.killpg, (p.pid, signal.SIGKILL))
    killer.start()
    try:
        said = next((line for line in p.stdout if b"GUEST-INIT-UP" in line), None)
    finally:
        killer.cancel()
        os.killpg(p.pid, signal.SIGKILL)
        p.wait()
    assert said is not None


def test_the_runtime(quick):
    """microvm/runtime.h, from its messages to what is left when it is gone."""
    r = quick.program("api_runtime", timeout=120)
    assert r.status == 0, r
    print(r.text)
