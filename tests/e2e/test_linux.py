# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm run with a Linux and a shell in it: the recipe of the user guide."""
import fcntl
import os
import re
import shutil
import struct
import subprocess
import termios

import pytest

from test_docs import read
from test_terminal import Terminal


@pytest.fixture(scope="module")
def linux(kvm, tmp_path_factory):
    """Arguments that start a shell."""
    kernel = os.environ.get("MICROVM_RING3_KERNEL")
    if not kernel:
        pytest.skip("MICROVM_RING3_KERNEL is not set")
    if not shutil.which("cpio") or not os.path.exists("/usr/bin/busybox"):
        pytest.skip("cpio or busybox-static is not installed")
    folder = tmp_path_factory.mktemp("linux")
    guide = read("docs/user-guide.md")
    recipe = re.search(r"^    mkdir -p root/bin.*?cpio -o .*?$", guide, re.M | re.S).group()
    recipe = re.sub(r"^    ", "", recipe, flags=re.M)
    subprocess.run(["sh", "-ec", recipe], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    return ["-k", kernel, "--initrd", str(folder / "initrd.cpio"), "-m", "256",
            "--cmdline", "quiet"]


def test_a_shell_reads_our_input(kvm, linux):
    r = kvm("run", "-i", *linux, stdin=b"echo $((6*7))\nreboot -f\n")
    assert r.returncode == 0 and b"\n42\r\n" in r.stdout and r.stderr == b""


def test_a_shell_on_a_terminal(kvm, linux):
    t = Terminal(kvm.path, "run", *linux, "--console", "virtio")
    t.until(b"/ # ")
    t.type(b"sh -c 'echo re\"\"ady; exec sleep 100'\n")
    t.until(b"ready\r\n")  # said by a child that has the terminal
    t.type(b"\x03")  # ends the child, not us
    fcntl.ioctl(t.ours, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 101, 0, 0))
    t.type(b"echo $((6*7))\n")
    t.until(b"42\r\n")
    t.type(b"stty size\n")
    t.until(b"33 101")
    t.type(b"reboot -f\n")
    assert t.process.wait(10) == 0
    assert t.given_back()
    t.close()
