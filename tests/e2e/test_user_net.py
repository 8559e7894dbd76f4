# SPDX-License-Identifier: MIT OR Apache-2.0
"""The user network with a Linux guest: out, in, and what a policy keeps in."""
import http.server
import json
import os
import socket
import subprocess
import threading
import time

import pytest

from netguest import free_port

@pytest.fixture
def server():
    """Answers on a port of this computer's loopback."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"from the host\n" if self.path == "/x" else bytes(8 << 20)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s.server_port
    s.shutdown()


def test_the_guest_reaches_the_host_by_its_gateway(guest_net, server):
    out = guest_net("--net", "user", do="wget -q -O - http://10.0.2.2:%d/x" % server)
    assert "mtu 65520" in out and "from the host" in out


def test_much_comes_whole(guest_net, server):
    out = guest_net("--net", "user",
                    do="wget -q -O - http://10.0.2.2:%d/big | md5sum" % server)
    assert "96995b58d4cbf6aaa9041b4f00c7f6ae" in out  # 8 MiB of zeros


def test_a_published_port_leads_to_the_guest(guest_net):
    port = free_port()
    p = guest_net.start("--net", "user", "-p", "%d:80" % port, do="nc -l -p 80 -e hostname")
    end = time.monotonic() + 60
    said = b""
    while not said and time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.settimeout(5)
                said = s.recv(100)
        except OSError:
            time.sleep(0.2)
    assert said == b"(none)\n"
    p.communicate(timeout=60)


@pytest.mark.parametrize("flags", [["--deny", "10.0.2.2"], ["--deny", "192.0.2.1"],
                                   ["--allow", "example.com"]])
def test_a_policy_closes_the_way_to_the_host(guest_net, server, tmp_path, flags):
    stats = tmp_path / "stats"
    out = guest_net("--net", "user", *flags, "--stats", stats,
                    do="wget -q -O - http://10.0.2.2:%d/x 2>&1" % server)
    assert "from the host" not in out and "refused" in out
    assert json.loads(stats.read_text())["net_refused_connections"] >= 1


def test_a_policy_opens_what_it_names(guest_net, server):
    out = guest_net("--net", "user", "--allow", "10.0.2.2:%d" % server,
                    do="wget -q -O - http://10.0.2.2:%d/x" % server)
    assert "from the host" in out


def test_names_that_are_not_allowed_are_refused(guest_net, tmp_path):
    stats = tmp_path / "stats"
    guest_net("--net", "user", "--allow", "example.com", "--stats", stats,
              do="nslookup evil.example.net")
    assert json.loads(stats.read_text())["net_refused_names"] >= 1


@pytest.mark.parametrize("option", ["host=off", "restrict"])
def test_options_close_the_host_too(guest_net, server, option):
    out = guest_net("--net", "user," + option,
                    do="timeout 5 wget -q -O - http://10.0.2.2:%d/x 2>&1" % server)
    assert "from the host" not in out


@pytest.mark.parametrize("args, message", [
    (["-p", "80:80"], "--publish: that is done by the user network"),
    (["--allow", "x"], "--egress: that is done by the user network"),
    (["--net", "user", "-p", "80x:80"], "net 'user': 80x:80: "),
    (["--net", "user", "--allow", "a b"], "net 'user': allow a b: "),
    (["--net", "user", "--netd", "/nowhere/netd"], "starting '/nowhere/netd': "),
    (["--net", "user,restict"], "--net: unknown option 'restict': did you mean restrict"),
    (["--net", "tap=x,restrict"], "--net: restrict, ipv6=off and host=off are for"),
])
def test_mistakes_have_their_message(kvm, guest, args, message):
    netd = os.environ.get("MICROVM_NETD", "")
    if "user" in args and not netd:
        pytest.skip("microvm-netd is not built")
    extra = ["--netd", netd] if netd and "--netd" not in args else []
    assert kvm.refuses("run", "-k", guest("hi"), *extra, *args).startswith(message)


def test_a_helper_that_dies_takes_the_cable_with_it(guest_net):
    p = guest_net.start("--net", "user", do="sleep 8; cat /sys/class/net/eth0/carrier")
    netd = None
    end = time.monotonic() + 30
    while not netd and time.monotonic() < end:
        children = subprocess.run(["pgrep", "-P", str(p.pid)], stdout=subprocess.PIPE)
        netd = children.stdout.decode().split()
        time.sleep(0.1)
    time.sleep(3)
    os.kill(int(netd[0]), 9)
    out, err = p.communicate(timeout=60)
    assert b"\n0" in out.replace(b"\r", b""), (out, err)


def test_the_helper_ends_with_its_machine(guest_net):
    p = guest_net.start("--net", "user", do="sleep 60")
    time.sleep(2)
    netd = subprocess.run(["pgrep", "-P", str(p.pid)],
                          stdout=subprocess.PIPE).stdout.decode().split()
    assert len(netd) == 1
    p.kill()
    p.wait()
    end = time.monotonic() + 5
    while os.path.exists("/proc/" + netd[0]) and time.monotonic() < end:
        time.sleep(0.05)
    assert not os.path.exists("/proc/" + netd[0])
