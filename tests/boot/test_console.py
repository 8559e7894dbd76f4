# SPDX-License-Identifier: MIT OR Apache-2.0
"""The console, both ways: words, and megabytes without a byte lost."""
import os
import re
import threading
import time
import zlib

import pytest

# A serial port moves a byte with each exit: 10 MiB take minutes. MICROVM_BOOT_FULL=1
# moves them all the same.
FULL = 10 << 20
SERIAL = FULL if os.environ.get("MICROVM_BOOT_FULL") else 128 << 10
SLOW = 16 << 10


def amount(guest, kind):
    if guest.slow:
        return SLOW if kind == "serial" else 16 * SLOW
    return SERIAL if kind == "serial" else FULL


class Talk:
    """A running command whose output is searched while it comes."""

    def __init__(self, p):
        self.p, self.text, self.done = p, bytearray(), threading.Event()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        while data := os.read(self.p.stdout.fileno(), 65536):
            self.text += data
        self.done.set()

    def wait(self, pattern, seconds):
        end = time.time() + seconds
        while time.time() < end:
            found = re.search(pattern, self.text)
            if found:
                return found
            ended = self.done.wait(0.02)
            if ended and not re.search(pattern, self.text):
                break
        raise AssertionError("%r did not come; last: %r" % (pattern, self.text[-2000:]))

    def send(self, data):
        self.p.stdin.write(data)
        self.p.stdin.flush()

    def end(self, seconds):
        try:
            return self.p.wait(seconds)
        finally:
            self.p.kill()


def talk(guest, commands, kind):
    how = ["--console", kind, "-i"]
    return Talk(guest.bed.popen(guest.words(commands, *how), timeout=1800))


@pytest.mark.parametrize("kind", ["serial", "virtio"])
def test_words_both_ways(quick, kind):
    """R272: the guest answers what it is sent."""
    t = talk(quick, "ask " + quick.kernel.end, kind)
    t.wait(rb"MV ask ready", 60)
    for i in range(3):
        t.send(b"echo number %d\n" % i)
        t.wait(rb"MV echo \[number %d\]" % i, 60)
    t.send(b"quit\n")
    assert t.end(60) == 0


@pytest.mark.parametrize("kind", ["serial", "virtio"])
def test_megabytes_out(quick, kind):
    count = amount(quick, kind)
    t = talk(quick, "source=%d %s" % (count, quick.kernel.end), kind)
    assert t.end(1800) == 0
    t.done.wait(10)
    head = re.search(rb"MV source begin (\d+)\r?\n", t.text)
    tail = re.search(rb"\nMV source crc ([0-9a-f]{8}) of (\d+) bytes",
                     t.text[head.end() + count:])
    body = bytes(t.text[head.end():head.end() + count])
    assert int(tail.group(2)) == count
    assert zlib.crc32(body) == int(tail.group(1), 16)


@pytest.mark.parametrize("kind", ["serial", "virtio"])
def test_megabytes_in(quick, kind):
    data = os.urandom(amount(quick, kind))
    if kind == "virtio":  # Linux's hvc console takes ^O for itself, as its SysRq key
        data = data.replace(b"\x0f", b"o")
    t = talk(quick, "sink=%d %s" % (len(data), quick.kernel.end), kind)
    t.wait(rb"MV sink ready", 60)
    writer = threading.Thread(target=t.send, args=(data,), daemon=True)
    writer.start()
    found = t.wait(rb"MV sink crc ([0-9a-f]{8}) of (\d+) bytes", 1800)
    assert int(found.group(2)) == len(data)
    assert int(found.group(1), 16) == zlib.crc32(data)
    assert t.end(60) == 0


def test_no_console(quick):
    """--console none: nothing comes out, the machine runs and ends all the same."""
    r = quick.run(quick.kernel.end, "--console", "none")
    assert r.status == 0, r
    assert r.out == b"", r
