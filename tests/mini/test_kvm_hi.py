#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""examples/kvm_hi does what the specification's appendix A says: two letters, then that
the guest halted; and an exit that it does not know is printed and ends it."""
import os
import subprocess
import sys
import tempfile

# mov ax, 0xffff; mov ds, ax; mov al, [0x10]: a read just above 1 MiB, KVM_EXIT_MMIO (6)
READ_BEYOND_MEMORY = bytes.fromhex("b8ffff 8ed8 a01000 f4")


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, timeout=20, check=False)


def main():
    program = sys.argv[1]
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        print("SKIP: /dev/kvm cannot be opened here")
        return 77
    result = run(program)
    assert result.returncode == 0, result
    assert result.stdout == b"Hi\nGuest halted\n", result
    with tempfile.NamedTemporaryFile() as code:
        code.write(READ_BEYOND_MEMORY)
        code.flush()
        result = run(program, code.name)
    assert result.returncode == 1, result
    assert result.stdout == b"\nUnexpected exit: reason 6\n", result
    return 0


if __name__ == "__main__":
    sys.exit(main())
