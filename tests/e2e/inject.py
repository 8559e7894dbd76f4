# SPDX-License-Identifier: MIT OR Apache-2.0
"""System calls made by another process, as who has taken it over would make them: so that
what a sandbox forbids is seen to be forbidden. x86-64 Linux, and who may trace it."""
import ctypes
import os
import platform

import pytest

PEEK, POKE, CONT, GET, SET, ATTACH, DETACH = 1, 4, 7, 12, 13, 16, 17
CODE = 0xcc050f  # syscall; int3
MASK = (1 << 64) - 1


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulong) for name in (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags "
        "rsp ss fs_base gs_base ds es fs gs").split()]


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Taken:
    """with Taken(pid) as call: call(number, argument...) is its result, -errno or not."""

    def __init__(self, pid):
        self.pid = pid

    def trace(self, request, address=0, data=0):
        ctypes.set_errno(0)
        result = libc.ptrace(request, self.pid, address, data)
        if result == -1 and ctypes.get_errno():
            raise OSError(ctypes.get_errno(), "ptrace %d" % request)
        return result & MASK

    def registers(self):
        registers = Registers()
        self.trace(GET, 0, ctypes.addressof(registers))
        return registers

    def __enter__(self):
        if platform.machine() != "x86_64":
            pytest.skip("calls are made in other processes on x86-64 only")
        try:
            self.trace(ATTACH)
        except PermissionError:
            pytest.skip("another process may not be traced here: not root?")
        os.waitpid(self.pid, 0)
        self.was = self.registers()
        self.code = self.trace(PEEK, self.was.rip)
        self.trace(POKE, self.was.rip, self.code & ~0xffffff & MASK | CODE)
        return self

    def __call__(self, number, *arguments):
        registers, text = self.registers(), self.was.rsp - 4096
        for name, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), arguments):
            if isinstance(value, bytes):
                value += bytes(8 - len(value) % 8)
                for at in range(0, len(value), 8):
                    self.trace(POKE, text + at, int.from_bytes(value[at:at + 8], "little"))
                value = text
            setattr(registers, name, value & MASK)
        registers.rip, registers.rax, registers.orig_rax = self.was.rip, number, MASK
        self.trace(SET, 0, ctypes.addressof(registers))
        self.trace(CONT)
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSTOPPED(status) and os.WSTOPSIG(status) == 5, status
        return ctypes.c_long(self.registers().rax).value

    def __exit__(self, *_):
        self.trace(POKE, self.was.rip, self.code)
        self.trace(SET, 0, ctypes.addressof(self.was))
        self.trace(DETACH)
