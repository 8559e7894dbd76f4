# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm-init in machines: what it sets up, and its agent through the C API
(api_agent.c)."""
import os
import subprocess

import pytest

import guests

INIT = os.environ.get("MICROVM_INIT") or os.path.join(guests.BUILD, "guest", "microvm-init")


@pytest.fixture(scope="module")
def initrd(tmp_path_factory):
    if not os.path.exists(INIT) or not os.path.exists("/bin/busybox"):
        pytest.skip("microvm-init is not in this build, or busybox-static is not installed")
    folder = tmp_path_factory.mktemp("agent")
    (folder / "hostname").write_text("box-of-tests\n")
    path = folder / "initrd.cpio"
    subprocess.run([os.path.join(guests.ROOT, "tools", "guest-initramfs.py"), "-o", path, "--init", INIT, "--busybox",
                    "etc/hostname=%s" % (folder / "hostname")], check=True)
    return path


def test_a_guest_and_its_agent(quick, initrd, tmp_path):
    disk = guests.sparse_file(tmp_path / "disk", 64)
    subprocess.run(["/sbin/mke2fs", "-q", "-F", "-t", "ext4", disk], check=True)
    r = quick.program("api_agent", "/var/tmp/copies-%d" % os.getpid() if quick.slow else str(tmp_path / "copies"), "slow",
                      initrd=initrd, vsock="cid=5", disk=disk, limit="disk:2M/s", rng="on", timeout=120)
    assert r.status == 0, r
    print(r.text)


@pytest.mark.parametrize("rng", ["on", "off"])
def test_the_power_button(named, initrd, rng):
    """Of our own kernel; random numbers are ready with an entropy device and without."""
    r = named("default").program("api_agent", "/var/tmp/copies-%d" % os.getpid(), "button", initrd=initrd,
                                 kernel=guests.kernel("default").vmlinux, vsock="cid=5", rng=rng, timeout=120)
    assert r.status == 0, r
