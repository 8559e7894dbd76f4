# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm vpn up with a WireGuard profile: the guest's kernel makes the tunnel, through the user network, to a real server
(wireguard.py) in a namespace beside. vpngate.py chooses the gateway and its bed."""
import os
import shutil
import subprocess

import pytest

import openvpn
import vpngate
import wireguard
from openvpn import FAR, HIDDEN, NAME
from vpngate import FULL, GIVEN, SLOW, STOCK, Up

CONNECTED = "connected, 10.8.0.2;"
DNS = ["DNS = %s, vpn.test" % HIDDEN]


def missing():
    return vpngate.missing() or wireguard.usable()


def make(folder, kernel, ours, *words, wg=True):
    """Debian's wg with its libraries, where ours has not been built (tools/wg.sh)."""
    words = list(words)
    if wg and not os.path.exists("build/guest/wg"):
        for file in vpngate.with_libraries(shutil.which("wg")):
            words += ["--add-file", "%s:%s:0755" % (os.path.realpath(file), file)]
    return vpngate.make(folder, kernel, ours, words)


def elsewhere(folder, name, ours):
    if GIVEN or missing():
        pytest.skip(missing() or "this is another bed already")
    kernel, why = vpngate.kernel_folder(name)
    if not kernel:
        pytest.skip(why)
    vpngate.tests_with(make(folder / "vpn", kernel, ours), __file__, "-k", "reaches")


def test_a_stock_kernel(tmp_path):
    """Debian's, with WireGuard as a module, where no other can be had here or all is asked for."""
    if not GIVEN and not FULL and vpngate.native_kernel()[0]:
        pytest.skip("another runs here; MICROVM_BOOT_FULL=1 has this one, too")
    elsewhere(tmp_path, STOCK, False)


def test_in_kvmbox(tmp_path):
    """The default kernel, where this computer cannot run it itself."""
    if not GIVEN and vpngate.beds.has_hardware_virtualization():
        pytest.skip("it runs here")
    elsewhere(tmp_path, "default", None)


@pytest.fixture(scope="module")
def kernel():
    if missing():
        pytest.skip(missing())
    folder, why = (None, "") if GIVEN else vpngate.native_kernel()
    return folder or (not GIVEN and pytest.skip("in kvmbox only: " + why))


@pytest.fixture(scope="module")
def gateway(kernel, tmp_path_factory):
    return GIVEN or make(tmp_path_factory.mktemp("gateway") / "vpn", kernel, None)


@pytest.fixture
def begin(tmp_path):
    with openvpn.contextlib.ExitStack() as stack:
        def begin(gateway, *words, kind=wireguard.WireGuard, profile=None, **kw):
            server = stack.enter_context(kind(tmp_path))
            text = profile(server) if profile else server.profile(interface=DNS, **kw)
            up = Up(server, gateway, tmp_path, *words, profile=text, name="work.conf")
            stack.callback(up.end)
            return server, up
        yield begin


def network(server):
    said = []
    for words in (["ip", "-br", "addr"], ["ip", "route", "show", "table", "all"], ["ip", "rule"], ["cat", "/etc/resolv.conf"]):
        said.append(server.run(*words, stdout=subprocess.PIPE).communicate()[0].decode())
    return said


def test_what_only_the_tunnel_reaches(begin, gateway):
    """All of the guest's traffic goes through it; the server dies and comes back; nothing goes around it."""
    server, up = begin(gateway, allowed="0.0.0.0/0, ::/0")
    before = network(server)
    up.until(CONNECTED, 30)
    assert "SOCKS5 at 127.0.0.1:1080" in up.said()
    assert server.fetch(timeout=2) is None, "this computer itself has no way there"
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n"
    assert up.fetch(NAME) == "from 10.8.0.2\n", "the tunnel's own name server"
    assert network(server) == before
    assert up.vpn("status")[:2] == (0, "connected  10.8.0.2  work.conf\n")
    assert up.vpn("profiles")[:2] == (0, "work.conf\n")
    assert "DEVTYPE=wireguard\n" in up.microvm("exec", "vpn", "cat", "/sys/class/net/tun0/uevent")[1], "the kernel's own"
    server.stop()
    assert up.fetch(FAR, seconds=3) is None, "the gateway's own way out must not be taken"
    up.until("reconnecting", 60)
    assert up.vpn("status")[0] == 1
    server.start()
    up.connected(60)
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n"
    assert up.vpn("down")[0] == 0
    assert network(server) == before


def test_a_wrong_key(begin, gateway):
    server, up = begin(gateway, mine=wireguard.key())
    assert up.process.wait(60 * SLOW) == 1
    assert "the server does not answer: check the profile's Endpoint and keys" in up.said()


def test_a_script_is_refused(begin, gateway):
    server, up = begin(gateway, profile=lambda s: s.profile(interface=["PostUp = iptables -A x"]))
    assert up.process.wait(30 * SLOW) == 125
    assert "'work.conf': line 5: 'PostUp' runs a program: leave it away" in up.said()


def test_a_user_is_of_no_use(begin, gateway, tmp_path):
    (tmp_path / "secret").write_text("x\n")
    server, up = begin(gateway, "--user", "ann", "--password-file", str(tmp_path / "secret"))
    assert up.process.wait(30 * SLOW) == 1
    assert "WireGuard profile, with its keys in it" in up.said()


def test_a_gateway_without_wg(begin, kernel, tmp_path):
    if GIVEN or os.path.exists("build/guest/wg"):
        pytest.skip("this gateway has wg")
    server, up = begin(make(tmp_path / "vpn", kernel, None, wg=False))
    assert up.process.wait(30 * SLOW) == 1
    assert "there is no /usr/bin/wg in this guest" in up.said()


def test_nothing_leaves_around_it(begin, kernel, tmp_path):
    """vpnd --only: the kernel's own packets carry the mark that lets them out, and nobody else's do."""
    if GIVEN:
        pytest.skip("it needs a gateway of its own")
    services = tmp_path / "services"
    services.write_text("/usr/sbin/vpnd --only\n/usr/sbin/inbound-proxy --interface tun0 --only\n")
    server, up = begin(make(tmp_path / "vpn", kernel, None, "--add-file", "%s:/etc/microvm/services" % services),
                       allowed="0.0.0.0/0")
    seen = server.watch()
    up.until(CONNECTED, 30)
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n"
    leak = "for a in %s 203.0.113.9; do echo x | nc -w 1 $a 9; echo x | nc -u -w 1 $a 9; done" % FAR
    up.microvm("exec", "vpn", "sh", "-c", leak)
    assert seen() == []
    server.stop()
    up.microvm("exec", "vpn", "sh", "-c", leak)
    up.microvm("exec", "vpn", "ip", "link", "del", "tun0")
    up.microvm("exec", "vpn", "sh", "-c", leak)
    assert seen() == [], "the server and the tunnel are gone"
