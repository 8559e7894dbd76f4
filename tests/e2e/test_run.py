# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm run with guests of a few bytes: exit statuses, streams, signals."""
import json
import os
import signal
import subprocess
import time

import pytest


def start(microvm, *args, **kw):
    """A run that has printed the guest's first line."""
    p = subprocess.Popen([microvm.path, "run", *args], stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, **kw)
    assert p.stdout.readline() == b"Hi\n"
    return p


def test_output_is_the_guests_alone(kvm, guest):
    r = kvm("run", "-k", guest("hi"))
    assert (r.returncode, r.stdout, r.stderr) == (0, b"Hi\n", b"")


def test_the_default_kernel(kvm, guest, tmp_path):
    """$MICROVM_KERNEL, what was built, what is installed: the first that is there."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(1 << 20))
    places = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "MICROVM_DATA": str(tmp_path / "data"),
              "MICROVM_KERNEL": ""}
    assert kvm.refuses("run", "--disk", disk, **places) == (
        "there is no kernel: 'microvm-build kernel' makes one, once, in some minutes; or "
        "name one with --kernel FILE")
    for place, program, said in [("data/vmlinuz", "hi", b"Hi\n"),
                                 ("cache/microvm/kernels/default-x86_64/vmlinuz", "crash", b""),
                                 ("cache/microvm/kernels/default-x86_64/vmlinux", "hi", b"Hi\n")]:
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).symlink_to(guest(program))
        r = kvm("run", "-q", "--disk", disk, **places)
        assert (r.returncode == 0, r.stdout) == (program == "hi", said)
    places["MICROVM_KERNEL"] = str(tmp_path / "nowhere")
    assert "nowhere" in kvm.refuses("run", "--disk", disk, **places)


def test_a_limit_for_nothing_is_warned_of(kvm, guest, tmp_path):
    r = kvm("run", "-k", guest("hi"), "--limit", "disk:1M")
    assert (r.returncode, r.stdout) == (0, b"Hi\n")
    assert r.stderr == b"microvm: warning: limit: this machine has no disk\n"
    disk = tmp_path / "a.img"
    disk.write_bytes(bytes(1 << 20))
    r = kvm("run", "-k", guest("hi"), "--limit", "disk:1M", "--disk", str(disk))
    assert (r.returncode, r.stderr) == (0, b"")


def test_a_crash_is_1(kvm, guest):
    r = kvm("run", "-k", guest("crash"))
    assert r.returncode == 1 and r.stderr.startswith(b"microvm: ")
    quiet = kvm("run", "-q", "-k", guest("crash"))
    assert quiet.returncode == 1 and quiet.stderr == b""


def test_the_time_limit_is_124(kvm, guest):
    before = time.monotonic()
    r = kvm("run", "-k", guest("sleep"), "--timeout", "300ms")
    assert r.returncode == 124 and r.stdout == b"Hi\n"
    assert 0.3 <= time.monotonic() - before < 5


def test_input_goes_to_the_guest(kvm, guest):
    r = kvm("run", "-i", "-k", guest("echo"), stdin=b"ab\x03\x1d\x1dq")
    assert (r.returncode, r.stdout) == (0, b"Hi\nab\x03\x1d\x1dq")  # no escape key here


def test_input_is_left_alone_without_i(kvm, guest):
    ours, theirs = os.pipe()
    os.write(theirs, b"mine")
    p = start(kvm, "-k", guest("sleep"), "--timeout", "300ms", stdin=ours)
    assert p.wait(10) == 124
    assert os.read(ours, 10) == b"mine"
    os.close(ours)
    os.close(theirs)


def test_stats(kvm, guest, tmp_path):
    path = tmp_path / "stats.json"
    assert kvm("run", "-k", guest("hi"), "--stats", path).returncode == 0
    stats = json.loads(path.read_text())
    assert stats["console_out_bytes"] == 3 and stats["entries"] >= 3
    assert stats["created_ns"] <= stats["entered_ns"] <= stats["ended_ns"]
    assert kvm("run", "-k", "/nowhere", "--stats", path).returncode == 125
    assert json.loads(path.read_text()) == stats  # there was nothing to write


def test_config_files_run(kvm, guest, tmp_path):
    path = tmp_path / "vm.json"
    path.write_text(json.dumps({"kernel": guest("sleep"), "timeout": "100ms", "memory": 32}))
    assert kvm("run", "--config", path).returncode == 124
    assert kvm("run", "--config", path, "-k", guest("hi")).returncode == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_ask_then_stop(kvm, guest, number):
    p = start(kvm, "-k", guest("sleep"), "--acpi", "on")  # deaf to the power button
    p.send_signal(number)
    assert b"seems to have no ACPI" in p.stderr.readline()  # nor has it
    assert b"asked the guest to power off" in p.stderr.readline()
    p.send_signal(number)
    assert p.wait(5) == 137
    p.communicate()


def test_without_a_power_button_a_signal_stops(kvm, guest):
    p = start(kvm, "-k", guest("sleep"), "--acpi", "off")
    p.send_signal(signal.SIGINT)
    assert b"no ACPI power button" in p.stderr.readline()
    assert p.wait(5) == 137
    p.communicate()


def test_a_reader_that_goes_away_ends_the_machine(kvm, guest):
    p = start(kvm, "-i", "-k", guest("echo"), stdin=subprocess.PIPE)
    p.stdout.close()
    p.stdin.write(b"x")
    p.stdin.flush()
    assert p.wait(5) == 125
    assert b"standard output" in p.stderr.read()
    p.stderr.close()
    p.stdin.close()
