# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm run on a terminal: raw while the guest has it, and always given back."""
import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time

import pytest


class Terminal:
    """A program on a pseudo-terminal of its own."""

    def __init__(self, *command, env=None):
        self.ours, self.theirs = pty.openpty()
        self.found = termios.tcgetattr(self.theirs)
        self.seen = b""

        def take():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(command, stdin=self.theirs, stdout=self.theirs,
                                        stderr=self.theirs, preexec_fn=take, env=env)

    def until(self, text, seconds=10):
        end = time.monotonic() + seconds
        while text not in self.seen:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.ours], [], [], left)[0], self.seen
            self.seen += os.read(self.ours, 4096)

    def type(self, keys):
        os.write(self.ours, keys)

    def is_raw(self):
        return not termios.tcgetattr(self.theirs)[3] & (termios.ICANON | termios.ECHO |
                                                        termios.ISIG)

    def given_back(self, seconds=5):
        end = time.monotonic() + seconds
        while termios.tcgetattr(self.theirs) != self.found:
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(kvm, guest):
    t = Terminal(kvm.path, "run", "-k", guest("echo"))
    t.until(b"Hi\n")
    assert t.is_raw()
    yield t
    t.close()


def test_all_keys_go_to_the_guest(terminal):
    terminal.type(b"a\x03\x1a\x1db")  # Ctrl-C, Ctrl-Z, and one Ctrl-] alone
    terminal.until(b"a\x03\x1a\x1db")
    terminal.type(b"q")
    assert terminal.process.wait(5) == 0
    assert terminal.given_back()


def test_the_escape_key_leaves(terminal):
    terminal.type(b"\x1d\x1d")
    assert terminal.process.wait(5) == 137
    assert terminal.given_back()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_the_terminal_survives_our_death(terminal, number):
    terminal.process.send_signal(number)
    assert terminal.process.wait(5) != 0  # a sanitizer makes an exit of SIGSEGV
    assert terminal.given_back()


def test_the_terminal_survives_the_death_of_the_group(terminal):
    os.killpg(terminal.process.pid, signal.SIGKILL)
    assert terminal.process.wait(5) == -signal.SIGKILL
    assert terminal.given_back()


def test_a_failure_gives_the_terminal_back(kvm):
    t = Terminal(kvm.path, "run", "-k", "/nowhere/vmlinuz")
    t.until(b"/nowhere/vmlinuz")
    assert t.process.wait(5) == 125
    assert t.given_back()
    t.close()


def test_i_alone_leaves_line_editing_to_the_terminal(kvm, guest):
    t = Terminal(kvm.path, "run", "-i", "-k", guest("echo"))
    t.until(b"Hi\r\n")
    assert not t.is_raw()
    t.type(b"q\n")
    assert t.process.wait(5) == 0
    t.close()
