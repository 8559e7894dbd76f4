# SPDX-License-Identifier: MIT OR Apache-2.0
"""What end-to-end tests share: the program under test, and guests of a few bytes."""
import json
import os
import struct
import subprocess

import pytest

import netguest

MICROVM = os.environ.get("MICROVM", "build/cli/microvm")
MICROVM_BUILD = MICROVM + "-build"  # beside it
LOAD = 0x100000


class Microvm:
    """The command line as a user has it; standard input is empty unless given."""

    def __init__(self, path):
        self.path = os.path.abspath(path)

    def __call__(self, *args, stdin=b"", timeout=30, **env):
        return subprocess.run([self.path, *map(str, args)], input=stdin, timeout=timeout,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(os.environ, **env))

    def refuses(self, *args, status=125, **kw):
        """The message of a refusal: one line, ours, and nothing on standard output."""
        r = self(*args, **kw)
        text = r.stderr.decode()
        assert r.returncode == status, text
        assert r.stdout == b""
        mark = os.path.basename(self.path) + ": "
        assert text.startswith(mark) and text.count("\n") == 1, text
        return text[len(mark):-1]


@pytest.fixture(scope="session")
def microvm():
    return Microvm(MICROVM)


@pytest.fixture(scope="session")
def microvm_build():
    return Microvm(MICROVM_BUILD)


@pytest.fixture(scope="session")
def kvm(microvm):
    """The program, on a computer where machines start."""
    info = json.loads(microvm("info", "--json").stdout)
    if not any(h["usable"] for h in info["hypervisors"]):
        pytest.skip("no usable hypervisor: " + "; ".join(
            h["name"] + ": " + h["reason"] for h in info["hypervisors"]))
    return microvm


def elf(code):
    """A vmlinux of one segment: `code` at 1 MiB, entered in long mode."""
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 2, 62, 1, LOAD, 64,
                         0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 0x1000, LOAD, LOAD, len(code), 0x1000, 0x1000)
    return (header + segment).ljust(0x1000, b"\0") + code


RESET = b"\xb0\xfe\xe6\x64\xf4\xeb\xfd"  # out 0x64, 0xfe; hlt for ever
SAY_HI = b"\x66\xba\xf8\x03" + b"".join(b"\xb0" + bytes([c]) + b"\xee" for c in b"Hi\n")
GUESTS = {
    "hi": SAY_HI + RESET,
    "sleep": SAY_HI + b"\xfa\xf4\xeb\xfd",
    # an empty IDT, then ud2
    "crash": b"\x0f\x01\x1c\x25" + struct.pack("<I", LOAD + 0xf00) + b"\x0f\x0b",
    # ready to receive (RTS); until 'q': wait for a character, send it back
    "echo": b"\x66\xba\xfc\x03\xb0\x02\xee" + SAY_HI + b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\x66\xba\xf8\x03\xec\xee"
            b"\x3c\x71\x75\xed" + RESET,
    # until 'q': wait for a character, then say 384 KiB (rep outsb)
    "flood": b"\x66\xba\xfc\x03\xb0\x02\xee" + SAY_HI + b"\x66\xba\xfd\x03\xec\xa8\x01\x74\xf7\x66\xba\xf8\x03\xec"
             b"\x3c\x71\x74\x0e\xbe\x00\x00\x10\x00\xb9\x00\x00\x06\x00\xf3\x6e\xeb\xe0" + RESET,
}


@pytest.fixture(scope="session")
def guest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guests")
    for name, code in GUESTS.items():
        (folder / name).write_bytes(elf(code))
    return lambda name: str(folder / name)


@pytest.fixture(scope="module")
def guest_net(kvm, tmp_path_factory):
    return netguest.guest_or_skip(kvm, tmp_path_factory.mktemp("net"))
