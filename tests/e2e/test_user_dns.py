# SPDX-License-Identifier: MIT OR Apache-2.0
"""Names on the user network: the host's resolver, also when its configuration changes, and
a policy by name. The host is namespaces of the test's own, see dnsbox.py."""
import json
import os
import shutil
import socket
import subprocess
import sys
import time

import pytest

from netguest import free_port

BOX = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dnsbox.py")


@pytest.fixture
def box(guest_net, tmp_path):
    """Runs a script in a guest in the box: what it said, and the counters."""
    if not shutil.which("unshare") or not shutil.which("ip") or subprocess.run(
            ["unshare", "-mn", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no mount and network namespaces can be had here: not root?")

    def run(*args, do, net="user", programs=("curl",)):
        stats = tmp_path / "stats"
        shutil.rmtree(tmp_path / "etc", ignore_errors=True)
        out = guest_net("--net", net, *args, "--stats", stats, do=do, programs=programs,
                        before=["unshare", "-mn", sys.executable, BOX, str(tmp_path)])
        return out, json.loads(stats.read_text())

    return run


ASK = "for n in %s; do echo $n: $(curl -s -m 5 http://$n:8000/ || echo failed $?); done\n"


def test_names_are_the_hosts(box):
    out, _ = box(do=ASK % "www.example.com alias.example.com nowhere.test")
    assert "www.example.com: from 203.0.113.10" in out
    assert "alias.example.com: from 203.0.113.11" in out
    assert "nowhere.test: failed 6" in out  # curl: the name was not resolved


@pytest.mark.parametrize("how", ["rewrite", "replace"])
def test_a_changed_resolver_is_followed(box, how):
    """By a machine that runs, in its sandbox, with and without a new file."""
    out, _ = box(do="nslookup which.test; curl -s http://10.0.2.2:8000/%s; sleep 2\n"
                    "echo LATER; nslookup which.test" % how)
    before, later = out.split("LATER")
    assert "192.0.2.1" in before and "192.0.2.2" not in before
    assert "192.0.2.2" in later and "192.0.2.1" not in later


def test_a_policy_by_name_follows_aliases_and_nothing_else(box):
    out, stats = box("--allow", "*.example.com", do=(
        "echo early: $(curl -s -m 5 http://203.0.113.10:8000/ || echo failed $?)\n" +
        ASK % "www.example.com alias.example.com evil.test 198.51.100.20 203.0.113.10"))
    assert "early: failed 7" in out  # refused: nobody has asked for a name yet
    assert "www.example.com: from 203.0.113.10" in out
    assert "alias.example.com: from 203.0.113.11" in out
    assert "evil.test: failed 6" in out and "198.51.100.20: failed 7" in out
    assert "203.0.113.10: from 203.0.113.10" in out  # it is www.example.com now
    assert stats["net_refused_connections"] == 2 and stats["net_refused_names"] >= 1
    assert stats["net_refused_answers"] == 0


def test_names_that_point_inside_are_refused(box):
    """DNS rebinding: to this computer, to its network, to the gateway behind an alias, and
    hidden behind a good address."""
    names = "inside.example.com self.example.com chain.example.com both.example.com"
    out, stats = box("--allow", "*.example.com", do=ASK % names)
    for name in names.split():
        assert "%s: failed 6" % name in out
    assert stats["net_refused_answers"] >= 4 and stats["net_refused_connections"] == 0


def test_without_a_policy_names_may_point_anywhere(box):
    out, stats = box(do=ASK % "chain.example.com")
    assert "chain.example.com: from 127.0.0.1" in out
    assert stats["net_refused_answers"] == 0


def test_restrict_leaves_nothing_but_forwards(box, guest_net):
    """No gateway, no names, no outside, where without it all of them are; and what comes in
    by a forward is answered."""
    ask = ASK % "www.example.com 203.0.113.10 10.0.2.2"
    out, _ = box(do=ask)
    assert out.count("from ") == 3, out
    out, _ = box(do=ask, net="user,restrict")
    assert out.count("failed ") == 3 and "from " not in out, out
    port = free_port()
    p = guest_net.start("--net", "user,restrict", "-p", "%d:80" % port, timeout="90s",
                        do="echo here >/x; httpd -p 80 -h /; sleep 60")
    end, said = time.monotonic() + 60, b""
    while b"here" not in said and time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 3) as s:
                s.settimeout(3)
                s.sendall(b"GET /x HTTP/1.0\r\n\r\n")
                said = b"".join(iter(lambda: s.recv(1000), b""))
        except OSError:
            time.sleep(0.3)
    p.kill()
    assert b"here" in said, (said, p.communicate())


WAITS = """
echo began $(cut -d' ' -f1 /proc/uptime)
(curl -s -m 6 http://deaf.test:8000/ >/dev/null; echo name $? $(cut -d' ' -f1 /proc/uptime)) &
(curl -s -m 6 http://203.0.113.10:8001/; echo tcp $? $(cut -d' ' -f1 /proc/uptime)) &
(echo | socat -t 6 STDIO VSOCK-CONNECT:2:79 >/dev/null 2>&1; echo vsock $? $(cut -d' ' -f1 /proc/uptime)) &
a=0 most=0 n=0
while [ $n -lt 500 ]; do
    read up idle </proc/uptime
    b=$((${up%.*} * 100 + 1${up#*.} - 100)); [ $a -ne 0 ] || a=$b first=$b
    [ $((b - a)) -le $most ] || most=$((b - a))
    a=$b; n=$((n+1)); [ $((b - first)) -lt 500 ] || n=500; usleep 10000
done
echo centiseconds $most of $((b - first)); wait
"""


def test_the_guest_goes_on_while_the_host_waits(box, tmp_path):
    """A name that nobody answers for and a connection that nobody takes wait for seconds, on
    the host; a vsock connection to a listener whose queue is full is refused. The guest's one
    vCPU, whose clock is read every ten milliseconds, never stands still for a second."""
    path = str(tmp_path / "v.sock")
    held = [socket.socket(socket.AF_UNIX)]
    held[0].bind(path + "_79")
    held[0].listen(0)
    for _ in range(3):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        s.connect_ex(path + "_79")
        held.append(s)
    out, _ = box("--vsock", "uds=" + path, do=WAITS, programs=["curl", "socat"])
    for s in held:
        s.close()
    said = {line.split()[0]: line.split()[1:] for line in out.splitlines() if line.strip()}
    most, _, whole = said["centiseconds"]
    print("the longest step was %s of %s hundredths of a second" % (most, whole))
    for what in "name", "tcp":  # curl: the time was over
        status, ended = said[what]
        assert status == "28" and float(ended) - float(said["began"][0]) > 5, out
    assert said["vsock"][0] == "1" and float(said["vsock"][1]) < float(said["name"][1]), out
    assert int(whole) >= 400 and int(most) < 100, out
