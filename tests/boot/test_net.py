# SPDX-License-Identifier: MIT OR Apache-2.0
"""Networks: a Linux guest and real programs on both sides, over a tap, passt, and
the user network.

The host's side is network.sh, in a network namespace of its own (root, or where users may
have namespaces); where that is not allowed the tests say so.
"""
import hashlib
import os
import shutil
import subprocess

import pytest

import guests

NETWORK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "network.sh")
ADDRESS = ("busybox ip addr add 172.30.77.2/24 dev eth0; busybox ip link set eth0 up; "
           "busybox ip link set lo up; sleep 1; ")


# An address and a route by DHCP.
LEASE = r"""
busybox mount -t tmpfs none /tmp
busybox printf '%s\n' '#!/bin/sh' '[ "$1" = bound ] || exit 0' \
    'busybox ip addr add $ip/${mask:-24} dev $interface' \
    'busybox ip route add default via $router' 'echo LEASE $ip' > /tmp/lease
busybox chmod +x /tmp/lease; busybox ip link set lo up; busybox ip link set eth0 up
busybox udhcpc -i eth0 -q -n -t 10 -s /tmp/lease
"""


def run(guest, tmp_path, kind, net, script, *options, seconds=40):
    for program in ("unshare", "ip", "iperf3", "passt" if kind == "passt" else "busybox"):
        if not shutil.which(program):
            pytest.skip("%s is not installed: tools/deps.sh test" % program)
    if subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no network namespace can be had here")
    initrd = guests.with_program(guest.kernel, "iperf3", script + "\necho NET-ENDED\n")
    words = guest.words("script=/script " + guest.kernel.end, "--initrd", initrd,
                        "--net", net, *options, initrd=False)
    r = guest.bed.run([NETWORK, kind, str(tmp_path)] + words, seconds, tmp_path)
    if r.status == 77:
        pytest.skip("no tap can be made here")
    assert r.status == 0 and "NET-ENDED" in r.text, r
    return r


def blob(tmp_path, mib):
    data = os.urandom(1 << 20) * mib
    (tmp_path / "blob").write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def test_ping_and_a_large_file_over_a_tap(quick, tmp_path):
    """Checksummed by us, not by the offloads that are on."""
    digest = blob(tmp_path, 4 if quick.slow else 256)
    r = run(quick, tmp_path, "tap", "tap=mvt0,mac=52:54:00:12:34:56",
            ADDRESS + "cat /sys/class/net/eth0/address; ping -c 3 172.30.77.1; "
            "busybox wget -q -O - http://172.30.77.1:8000/blob | sha256sum")
    assert "52:54:00:12:34:56" in r.text and "3 packets received" in r.text, r
    assert digest in r.text, r


def test_debians_kernel_over_a_tap(debian, tmp_path):
    """The stock kernel, with its modules as a user would have them."""
    digest = blob(tmp_path, 1)
    r = run(debian, tmp_path, "tap", "tap=mvt0", ADDRESS + "ping -c 3 172.30.77.1; "
            "busybox wget -q -O - http://172.30.77.1:8000/blob | sha256sum")
    assert "3 packets received" in r.text and digest in r.text, r


def iperf3(guest, tmp_path, words, kind="tap", net="tap=mvt0", *options):
    script = ADDRESS + "iperf3 -c 172.30.77.1 -t 3 -f m "
    if kind == "user":
        script = LEASE + "iperf3 -c 10.0.2.2 -t 3 -f m "
    r = run(guest, tmp_path, kind, net, script + words, *options)
    assert "iperf Done." in r.text, r
    line = [t for t in r.text.splitlines() if "receiver" in t][-1]
    print(words, line)
    return float(line.split("Mbits/sec")[0].split()[-1])


@pytest.mark.parametrize("words", ["", "-R"])
def test_iperf3_over_a_tap(machine, tmp_path, words):
    """Not on ring3: with iperf3's timers its vCPU spins in the guest's kernel now and then,
    without an exit or an interrupt, in one run of three."""
    assert iperf3(machine, tmp_path, words) > (0.5 if machine.slow else 20)


@pytest.mark.parametrize("words", ["", "-R"])
def test_iperf3_with_udp(machine, tmp_path, words):
    """Not on ring3, whose kernel hangs when iperf3 paces itself, under Firecracker too."""
    assert iperf3(machine, tmp_path, "-u -b 1M " + words) > 0.3


@pytest.mark.parametrize("words", ["", "-R"])
def test_iperf3_over_the_user_network(machine, tmp_path, words):
    netd = os.environ.get("MICROVM_NETD")
    if not netd:
        pytest.skip("microvm-netd is not built")
    assert iperf3(machine, tmp_path, words, "user", "user", "--netd", netd) > \
        (0.5 if machine.slow else 20)


def test_a_limit_is_kept(quick, tmp_path):
    if quick.slow:
        pytest.skip("times in kvmbox are the emulator's; %s" % quick.bed.why)
    digest = blob(tmp_path, 8)
    r = run(quick, tmp_path, "tap", "tap=mvt0", ADDRESS +
            "cat /proc/uptime; busybox wget -q -O - http://172.30.77.1:8000/blob | "
            "sha256sum; cat /proc/uptime", "--limit", "net:2M/s")
    began, ended = [float(t.split()[0]) for t in r.text.splitlines()
                    if t.count(".") == 2 and len(t.split()) == 2]
    print("8 MiB at 2 MiB/s took %.1f s" % (ended - began))
    assert digest in r.text and 3 < ended - began < 8, r


def test_the_mtu_reaches_the_guest(quick, tmp_path):
    r = run(quick, tmp_path, "tap", "tap=mvt0,mtu=1400",
            ADDRESS + "cat /sys/class/net/eth0/mtu")
    assert "\n1400\n" in r.text, r


def test_none_is_no_device(quick):
    r = quick.run("shell " + quick.kernel.end, "--net", "none", "-i", busybox=True,
                  give=b"echo INTERFACES $(ls /sys/class/net); exit\n")
    assert "INTERFACES lo\n" in r.text, r


def test_passt(quick, tmp_path):
    """DHCP and TCP through a real peer of unixstream. As root it is root's passt: it
    keeps its own privileges low."""
    digest = blob(tmp_path, 1 if quick.slow else 16)
    r = run(quick, tmp_path, "passt", "unixstream=%s/passt.socket" % tmp_path,
            LEASE + "busybox wget -q -O - http://172.30.77.1:8000/blob | sha256sum",
            seconds=60)
    assert "LEASE 172.30.77.3" in r.text and digest in r.text, r
