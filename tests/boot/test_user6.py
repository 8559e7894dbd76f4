# SPDX-License-Identifier: MIT OR Apache-2.0
"""IPv6 over the user network: a Linux guest that has taken its address by itself reaches the
host's ::1 by the gateway's address, and is reached by a forward on [::1]. ring3 has no IPv6,
so a kernel that has."""
import hashlib
import os
import shutil
import subprocess

import pytest

import guests

BOX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "usernet.sh")
SCRIPT = """
busybox ip link set lo up; busybox ip link set eth0 up
n=0; until busybox ip -6 addr show dev eth0 | grep fec0 | grep -v tentative; do
    sleep 0.5; n=$((n+1)); [ $n -lt 60 ] || break
done
busybox wget -q -O - 'http://[fec0::2]:8000/blob' | sha256sum
mkdir -p /www; echo by way of v6 >/www/said; busybox httpd -p '[::]:80' -h /www
n=0; until [ $n -ge 60 ]; do
    busybox wget -q -O - 'http://[fec0::2]:8000/forward' && break; sleep 0.5; n=$((n+1))
done
echo NET-ENDED
"""


def run(guest, tmp_path, *options):
    netd = os.environ.get("MICROVM_NETD")
    if not netd:
        pytest.skip("microvm-netd is not built")
    for program in "unshare", "ip", "busybox":
        if not shutil.which(program):
            pytest.skip("%s is not installed: tools/deps.sh test" % program)
    if subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no network namespace can be had here")
    script = tmp_path / "script"
    script.write_text(SCRIPT)
    initrd = str(tmp_path / "initrd")
    subprocess.run(
        [os.path.join(guests.ROOT, "tools", "guest-initramfs.py"), "-o", initrd, "--init",
         guests.GUEST_INIT, "--kernel-dir", guest.kernel.directory, "--busybox",
         "script=" + str(script)], check=True)
    words = guest.words("script=/script " + guest.kernel.end, "--initrd", initrd, "--net",
                        "user", "--netd", netd, "-p", "[::1]:8080:80", *options,
                        initrd=False)
    r = guest.bed.run([BOX, str(tmp_path)] + words, 60, tmp_path)
    assert r.status == 0 and "NET-ENDED" in r.text, r
    return r


def test_ipv6_out_and_in(machine, tmp_path):
    blob = os.urandom(1 << 20)
    (tmp_path / "blob").write_bytes(blob)
    r = run(machine, tmp_path)
    assert "inet6 fec0:" in r.text, r
    assert hashlib.sha256(blob).hexdigest() in r.text, r
    assert "by way of v6" in r.text, r
