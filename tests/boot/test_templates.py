# SPDX-License-Identifier: MIT OR Apache-2.0
"""Templates as they are shipped, started and looked at from inside. Only the image is
another one, busybox, for theirs are a registry's."""
import os

import pytest

import guests
from test_images import build, root  # noqa: F401: fixtures

NETD = os.environ.get("MICROVM_NETD")
LOOK = r"""
echo cpus $(nproc) $(grep -c ^processor /proc/cpuinfo)
for cpu in 1 2 4 8; do taskset $cpu sh -c 'echo ran on a cpu' 2>/dev/null; done
grep MemTotal /proc/meminfo
echo nets $(cd /sys/class/net; ls -d */device)
echo address $(ip -4 addr show eth0 2>/dev/null | grep -o 'inet [0-9.]*')
echo route $(ip route get 192.0.2.1 2>&1)
"""


@pytest.fixture(scope="module")
def image(build, root):  # noqa: F811
    for name in ("nproc", "grep", "taskset", "ip", "sleep"):
        os.symlink("busybox", root / "bin" / name)
    return build(root.parent / "template.ext4", "ext4")


def run(guest, image, template, *words, seconds=30, mem=2048):  # noqa: F811
    folder = os.path.dirname(image)
    netd = ["--netd", NETD] if NETD and template != "Sandbox" else []
    argv = ["env", "XDG_RUNTIME_DIR=" + folder, "XDG_CONFIG_HOME=" + folder, guests.MICROVM, "run",
            "--template", template, *netd, "--kernel", guest.kernel.vmlinux if guest.kernel.name == "default"
            else guest.kernel.file, image, "--", *words]
    return guest.bed.run(argv, seconds, folder, mem)


@pytest.mark.parametrize("template, cpus, memory_mib, network", [
    ("Sandbox", 1, 256, False), ("DevEnvironment", 4, 2048, True), ("AiAgent", 1, 512, True)])
def test_from_inside(named, image, template, cpus, memory_mib, network):
    if network and not NETD:
        pytest.skip("microvm-netd is not in this build")
    r = run(named("default"), image, template, "sh", "-c", LOOK, mem=3000)
    assert r.status == 0, r
    said = dict(line.partition(" ")[::2] for line in r.text.splitlines())
    assert said["cpus"] == "%d %d" % (cpus, cpus), r
    assert r.text.count("ran on a cpu") == cpus, r
    kib = int(said["MemTotal:"].split()[0])
    assert (memory_mib * 0.97 - 40) * 1024 < kib <= memory_mib * 1024, r
    if network:
        assert said["nets"] == "eth0/device" and said["address"] == "inet 10.0.2.15", r
        assert "via 10.0.2.2 dev eth0" in said["route"], r
    else:
        assert said["nets"] == "" and "unreachable" in said["route"].lower(), r


def test_an_agents_time_is_over(quick, image):
    """The limit as it is shipped, waited for."""
    if not os.environ.get("MICROVM_BOOT_FULL"):
        pytest.skip("takes 300 s: set MICROVM_BOOT_FULL")
    if quick.slow:
        pytest.skip("time is another one in kvmbox")
    r = run(quick, image, "AiAgent", "sleep", "1000", seconds=330)
    assert r.status == 124 and 299 < r.seconds < 310, r
