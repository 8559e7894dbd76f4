# SPDX-License-Identifier: MIT OR Apache-2.0
"""The ways a machine ends, and the exit status of each."""
import os
import signal
import struct
import time

import pytest

import guests


def test_power_off(machine):
    r = machine.run("poweroff")
    assert r.status == 0, r
    assert "GUEST-INIT-UP" in r.text, r


def test_reboot(quick):
    r = quick.run("reboot")
    assert r.status == 0, r
    assert r.said("reboot") == "", r


def test_reboot_with_acpi(machine):
    r = machine.run("reboot", cmdline="quiet reboot=acpi")
    assert r.status == 0, r


def test_reboot_by_triple_fault(quick):
    """A kernel that was told to reset by a triple fault is no crash."""
    r = quick.run("reboot", cmdline="quiet reboot=t")
    assert r.status == 0, r


@pytest.mark.parametrize("which", ["quick", "debian"])
def test_panic(which, request):
    guest = request.getfixturevalue(which)
    r = guest.run("panic", cmdline="loglevel=4")
    assert r.status == 1, r
    assert "Kernel panic - not syncing" in r.text, r
    assert b"panic" in r.err, r


def test_no_root_file_system(quick):
    """R182: without initrd and disk, the kernel boots up to its panic for want of a
    root file system."""
    r = quick.run("", cmdline="loglevel=4", initrd=False)
    assert r.status == 1, r
    assert "VFS: Unable to mount root fs" in r.text, r


def triple_fault_kernel(path):
    """An ELF file of one segment at 1 MiB: lidt of an empty table, then ud2."""
    code = bytes.fromhex("0f011d02000000" "0f0b" + "00" * 10)
    base = 0x100000
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, base, 64, 0, 0,
                         64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 4096, base, base, len(code), len(code), 4096)
    path.write_bytes((header + segment).ljust(4096, b"\0") + code)
    return str(path)


def test_triple_fault(quick, tmp_path):
    """A crash that nobody asked for: natively everywhere, it needs no real kernel."""
    kernel = triple_fault_kernel(tmp_path / "fault.elf")
    r = quick.bed.run([guests.MICROVM, "run", "--kernel", kernel, "--boot", "linux"])
    assert r.status == 1, r
    assert b"triple fault" in r.err, r


def test_time_limit(quick):
    r = quick.run("sleep", "--timeout", "3s")
    assert r.status == 124, r
    assert b"GUEST-INIT-UP" in r.out or quick.slow, r
    if not quick.slow:
        assert 2.9 < r.seconds < 5, r


def test_time_limit_of_a_busy_guest(quick):
    r = quick.run("spin", "--timeout", "3s", "--quiet")
    assert r.status == 124, r
    assert r.err == b"", r


def wait_for_word(p, word, seconds):
    end, text = time.time() + seconds, b""
    os.set_blocking(p.stdout.fileno(), False)
    while word not in text and time.time() < end:
        text += p.stdout.read() or b""
        time.sleep(0.01)
    assert word in text, text
    os.set_blocking(p.stdout.fileno(), True)
    return text


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, None), (signal.SIGINT, None),
                                            (signal.SIGKILL, -9)])
def test_signals_to_the_command(quick, number, status):
    """The first signal asks the guest; one that cannot be asked is ended. Nothing of the
    process stays behind."""
    if quick.slow:
        pytest.skip("a signal does not reach into kvmbox")
    p = quick.bed.popen(quick.words("sleep"))
    wait_for_word(p, b"MV sleep", 20)
    p.send_signal(number)
    try:
        out, err = p.communicate(timeout=20)
    except Exception:
        p.kill()
        raise
    assert status is None or p.returncode == status
    assert p.returncode != 0, err


def test_power_button(debian):
    """ACPI generic event device, the kernel's button driver, an input event, a program
    that waits for it as acpid does, poweroff."""
    r = debian.program("api_button", timeout=60)
    assert r.status == 0, r


def test_waiting(quick):
    r = quick.program("api_wait")
    assert r.status == 0, r


def test_kill_at_random_moments_of_the_boot(quick):
    count = "10" if quick.slow else "120"
    r = quick.program("api_cycles", count, "3000" if quick.slow else "200")
    assert r.status == 0, r
