# SPDX-License-Identifier: MIT OR Apache-2.0
"""The guest of one program (examples/single.c): a kernel, and an initial RAM disk with /init alone."""
import os
import re
import shutil
import subprocess

import pytest

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
FAST = os.path.expanduser("~/.cache/microvm/kernels/fast-x86_64/vmlinuz")


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    if not shutil.which("musl-gcc"):
        pytest.skip("musl-gcc is not here (musl-tools)")
    folder = tmp_path_factory.mktemp("single")
    subprocess.run(["musl-gcc", "-static", "-Os", "-s", "-Wall", "-Werror", "-o", folder / "init", os.path.join(ROOT, "examples/single.c")],
                   check=True)
    subprocess.run([os.path.join(ROOT, "tools/guest-initramfs.py"), "-o", folder / "single.cpio", "--init", folder / "init"], check=True)
    return folder / "single.cpio"


def test_it_boots_says_its_line_and_ends(kvm, single):
    kernel = os.environ.get("MICROVM_RING3_KERNEL")
    if not kernel:
        pytest.skip("MICROVM_RING3_KERNEL is not set")
    r = kvm("run", "-k", kernel, "--initrd", single, "-m", "128", "--cmdline", "quiet")
    assert r.returncode == 0
    assert re.search(rb"^single: on Linux 6\.\S+, \d+ ms after", r.stdout, re.M), r


def test_all_of_it_is_below_ten_megabytes(single):
    if not os.path.exists(FAST):
        pytest.skip("the fast kernel has not been built (microvm-build kernel --variant fast)")
    assert os.path.getsize(FAST) + os.path.getsize(single) < 10e6
