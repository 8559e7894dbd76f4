# SPDX-License-Identifier: MIT OR Apache-2.0
"""What needs the library itself: C programs linked with it."""


def test_pause_and_clock(quick):
    r = quick.program("api_pause")
    assert r.status == 0, r


def test_pause_and_clock_smp(machine):
    r = machine.program("api_pause", cpus="2")
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
