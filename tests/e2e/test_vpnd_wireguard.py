# SPDX-License-Identifier: MIT OR Apache-2.0
"""The VPN daemon with WireGuard profiles against a real server (wireguard.py). The daemon runs in the
namespace from which the server is reached, so no machine is needed, and where this computer's kernel has no
WireGuard, it has wireguard-go do it."""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

import openvpn
import vpnd
import wireguard
from openvpn import FAR, FAR6, HIDDEN, PORT, SERVER
from test_vpnd_openvpn import leak, leave_attempts

pytestmark = pytest.mark.skipif(bool(vpnd.missing() or wireguard.usable()), reason=vpnd.missing() or wireguard.usable())

CONNECTED = {"status": "connected", "tun_ip": "10.8.0.2"}
DNS = ["DNS = %s, vpn.test" % HIDDEN]


@pytest.fixture
def place(tmp_path):
    """Starts a server and a daemon, and gives the daemon its profile, 'work.conf'."""
    with contextlib.ExitStack() as stack:
        def make(*options, remote=None, allowed=wireguard.ALLOWED, lines=(), interface=DNS, **kw):
            os.makedirs(tmp_path / "server")
            os.makedirs(tmp_path / "vpnd")
            server = stack.enter_context(wireguard.WireGuard(tmp_path / "server", **kw))
            daemon = stack.enter_context(vpnd.Vpnd(tmp_path / "vpnd", "--wg", shutil.which("wg"), "--wireguard-go",
                                                   shutil.which("wireguard-go"), *options, namespace=server.near))
            daemon.put("work.conf", server.profile(remote, *lines, allowed=allowed, interface=interface))
            return server, daemon
        yield make


def start(daemon, wait=True, profile="work.conf", **fields):
    return daemon.start(profile, wait, 40, **fields)


def network(server):
    """All that a tunnel changes in near, but for what other things change."""
    said = ""
    for words in (["-br", "addr"], ["route", "show", "table", "main"], ["-6", "route", "show", "table", "main"], ["rule"]):
        r = subprocess.run(["ip", "-n", server.near, *words], stdout=subprocess.PIPE, check=True)
        said += r.stdout.decode()
    return said


def children(daemon):
    return subprocess.run(["pgrep", "-P", str(daemon.process.pid)], stdout=subprocess.PIPE).stdout.split()


def test_connect_and_stop(place):
    server, daemon = place()
    names, before = daemon.names(), network(server)
    assert daemon.ask("list_profiles")["profiles"] == ["work.conf"]
    assert start(daemon) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"
    assert daemon.ask("vpn_status", detail=True) == dict(CONNECTED, state="connected", profile="work.conf")
    assert daemon.ask("vpn_check_webauth") == CONNECTED
    assert start(daemon, profile="work") == CONNECTED, "it is connected already"
    assert "nameserver %s\n" % HIDDEN in daemon.names() and "search vpn.test\n" in daemon.names()
    daemon.put("other.ovpn", "client\n")
    assert "vpn_stop" in daemon.ask("vpn_start", profile="other")["error"]
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert (daemon.names(), network(server), children(daemon)) == (names, before, [])
    assert daemon.ask("vpn_status") == {"status": "disconnected"}
    assert server.fetch(timeout=1) is None
    assert start(daemon) == CONNECTED, "and again"
    assert server.fetch() == "from 10.8.0.2\n"


def test_all_of_the_internet(place):
    """Both halves, and the way to the server as it was."""
    server, daemon = place(gateway=True, allowed="0.0.0.0/0, ::/0", interface=["Address = fd08::2/64", "MTU = 1300", *DNS])
    before = network(server)
    assert server.fetch() == "from 10.99.0.2\n", "there is another way"
    assert start(daemon) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"
    now = network(server)
    for line in ("0.0.0.0/1 dev tun0", "128.0.0.0/1 dev tun0", "%s via %s dev wire0" % (openvpn.BEYOND, FAR), "::/1 dev tun0",
                 "8000::/1 dev tun0", "fd08::2/64"):
        assert line in now, now
    out = subprocess.run(["ip", "-n", server.near, "link", "show", "tun0"], stdout=subprocess.PIPE).stdout
    assert b"mtu 1300" in out
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert network(server) == before


def test_keys_are_nowhere(place):
    server, daemon = place()
    assert start(daemon) == CONNECTED
    for pid in children(daemon) + [str(daemon.process.pid).encode()]:
        with open("/proc/%s/cmdline" % pid.decode()) as f:
            assert server.his[0] not in f.read()
    assert server.his[0] not in daemon.said() and server.shared not in daemon.said()
    for folder, _, files in os.walk(daemon.folder):
        for name in files:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and name != "work.conf":
                with open(path, errors="replace") as f:
                    assert server.his[0] not in f.read()


def test_by_ipv6_and_beside_others(place):
    """One peer with an IPv6 endpoint, one that is not there, one that nobody can call."""
    others = ["[Peer]", "PublicKey = " + wireguard.key()[1], "Endpoint = 10.99.0.7:9", "AllowedIPs = 10.9.0.0/16", "[Peer]",
              "PublicKey = " + wireguard.key()[1]]
    server, daemon = place(remote="[%s]:%d" % (FAR6, PORT), allowed="::/0, 10.0.0.0/8", lines=others)
    before = network(server)
    assert start(daemon) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"
    assert "%s dev wire0" % FAR6 in network(server) and "10.9.0.0/16 dev tun0" in network(server)
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert network(server) == before


def test_without_ipv6(place):
    """What is there of it in the profile is left away."""
    server, daemon = place(gateway=True, allowed="0.0.0.0/0, ::/0", interface=["Address = fd08::2/64", *DNS])
    for name in ("all", "default"):
        assert server.run("sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/%s/disable_ipv6" % name).wait(10) == 0
    before = network(server)
    assert start(daemon) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n" and "fd08" not in network(server)
    assert "the address fd08::2/64 cannot be set" in daemon.said()
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert network(server) == before


def test_no_routes(place):
    server, daemon = place(interface=["Table = off"])
    assert start(daemon) == CONNECTED
    assert "10.77.7.0" not in network(server) and daemon.names() == "nameserver 192.0.2.1\n"


@pytest.mark.parametrize("what", ["mine", "his", "shared"])
def test_a_wrong_key(place, what):
    server, daemon = place()
    before = network(server)
    wrong = wireguard.key()
    daemon.put("work.conf", server.profile(**{what: wrong[0] if what == "shared" else wrong}))
    begin = time.time()
    answer = start(daemon)
    assert answer["status"] == "error" and "the server does not answer: check" in answer["error"], answer
    assert 15 < time.time() - begin < 30
    assert network(server) == before and children(daemon) == []
    daemon.put("work.conf", server.profile())
    assert start(daemon) == CONNECTED


def test_no_server(place):
    server, daemon = place()
    vpnd.a_dead_server(server, daemon, "work.conf")


def test_the_server_goes_and_comes_back(place):
    server, daemon = place()
    assert start(daemon) == CONNECTED
    server.stop()
    until = time.time() + 60
    while daemon.ask("vpn_status")["status"] == "connected" and time.time() < until:
        assert server.fetch(timeout=1) is None
    assert daemon.ask("vpn_status", detail=True) == {"status": "disconnected", "state": "reconnecting", "profile": "work.conf"}
    server.start()
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"
    assert "nameserver %s" % HIDDEN in daemon.names()


def engine_socket():
    """Which file it is, if there is one: a new start makes another of the same name."""
    try:
        s = os.stat("/var/run/wireguard/tun0.sock")
    except FileNotFoundError:
        return None
    return s.st_ino, s.st_ctime_ns


@pytest.mark.parametrize("how", ["link", "engine"])
def test_the_interface_is_taken_away(place, how):
    server, daemon = place()
    assert start(daemon) == CONNECTED
    engine, socket = children(daemon), engine_socket()
    if how == "link":
        server.ip(server.near, "link", "del", "tun0")
    elif engine:
        os.kill(int(engine[0]), signal.SIGKILL)
    else:
        pytest.skip("this kernel has WireGuard: no wireguard-go runs")
    daemon.until("disconnected", state="reconnecting")
    assert how == "link" or engine_socket() != socket, "for who comes after it"
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"


def test_pause_and_resume(place):
    server, daemon = place()
    before = network(server)
    assert start(daemon) == CONNECTED
    assert daemon.raw(b"pause\n") == b"paused\n"
    assert daemon.until("disconnected", state="paused")
    assert network(server) == before and server.fetch(timeout=1) is None
    time.sleep(2)
    assert daemon.ask("vpn_status") == {"status": "disconnected"}
    assert daemon.raw(b"resume\n") == b"resumed\n"
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"
    assert daemon.raw(b"pause\n") == b"paused\n"
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_daemon_ends(place, how):
    """What is left when it is killed goes with its next start."""
    server, daemon = place(gateway=True, allowed="0.0.0.0/0")
    names, before = daemon.names(), network(server)
    assert start(daemon) == CONNECTED
    daemon.process.send_signal(how)
    daemon.process.wait(10)
    if how == signal.SIGKILL:
        until = time.time() + 5
        while os.path.exists("/var/run/wireguard/tun0.sock") and "tun0" in network(server) and time.time() < until:
            time.sleep(0.05)
        assert "via %s dev wire0" % FAR in network(server).replace("default via", "")
        with vpnd.Vpnd(daemon.folder, namespace=server.near):
            assert network(server) == before
        daemon.log = open(os.devnull)
        return
    assert (daemon.names(), network(server)) == (names, before)


def test_what_is_refused(place):
    server, daemon = place()

    def put(text):
        return daemon.ask("vpn_set_profile", name="bad.conf", content=text)["error"]
    for line in ("PreUp", "PostUp", "PreDown", "PostDown"):
        assert put(server.profile(interface=[line + " = /bin/evil"])) == \
            "line 5: '%s' runs a program: leave it away (routes and name servers are set without one)" % line
    assert "SaveConfig" in put(server.profile(interface=["SaveConfig = true"]))
    assert "'Jc' is nothing that [Interface] may have here" in put(server.profile(interface=["Jc = 4"]))
    assert "is no key" in put(server.profile(mine=("", "x")))
    assert daemon.ask("list_profiles")["profiles"] == ["work.conf"]
    for words in ({"username": "ann", "password": "x"}, {"key_password": "k"}, {"response": "1"}):
        assert "keys in it" in start(daemon, **words)["error"]
    assert start(daemon, username="", password=None) == CONNECTED


def test_without_wg(place):
    server, daemon = place("--wg", "/nowhere/wg")
    answer = start(daemon)
    assert answer["status"] == "error" and "there is no /nowhere/wg in this guest" in answer["error"]
    assert "'make vpn' builds it" in answer["error"]


def test_scripts_that_are_allowed_are_openvpn_s(place):
    server, daemon = place("--allow-scripts")
    answer = daemon.ask("vpn_set_profile", name="bad.conf", content=server.profile(interface=["PostUp = x"]))
    assert "runs a program" in answer["error"]


def test_nothing_leaves_without_the_vpn(place):
    """--only: read along at the other end of the cable, before, during and after."""
    server, daemon = place("--only", gateway=True, allowed="0.0.0.0/0, ::/0", interface=["Address = fd08::2/64"])
    seen = server.watch()
    leave_attempts(server)
    assert seen() == [], "before"
    assert start(daemon) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"
    leak(server, ("203.0.113.9", 9), ("2001:db8::1", 9))
    assert seen() == [], "all of it goes through the tunnel"
    server.stop()
    leave_attempts(server)
    assert seen() == [], "when the server is gone"
    engine = children(daemon)
    if engine:
        os.kill(int(engine[0]), signal.SIGKILL)
        leave_attempts(server)
        assert seen() == [], "when wireguard-go was killed"
    server.start()
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    leave_attempts(server)
    assert seen() == [], "stopped"
    assert start(daemon) == CONNECTED
    daemon.process.kill()
    daemon.process.wait(10)
    leave_attempts(server)
    assert seen() == [], "when the daemon was killed"


@pytest.mark.parametrize("only", [False, True])
def test_the_server_has_a_name(place, only):
    """With --only the question for it leaves, and no other, then or later."""
    server, daemon = place(*["--only"] * only, gateway=True, names=True, remote="%s:%d" % (SERVER, PORT), allowed="0.0.0.0/0")
    seen = server.watch()
    assert start(daemon) == CONNECTED
    asked = seen()
    assert asked and (not only or set(asked) == {"17:%s:53" % FAR})
    assert server.fetch() == "from 10.8.0.2\n"
    leak(server, (FAR, 53))
    assert not only or seen() == []


def test_domains_without_a_name_server(place):
    """Nothing is changed, and it is said."""
    server, daemon = place(interface=["DNS = vpn.test"])
    names = daemon.names()
    assert start(daemon) == CONNECTED
    assert daemon.names() == names and "domains, but no name server" in daemon.said()


def test_a_name_that_nobody_knows(place):
    """Others are heard meanwhile."""
    server, daemon = place(names=True, remote="nobody.vpn.test:%d" % PORT)
    answer = start(daemon)
    assert answer["status"] == "error" and "'nobody.vpn.test' is not found" in answer["error"], answer


def test_nobody_answers_for_names(place):
    server, daemon = place(gateway=True, names=True, remote="%s:%d" % (SERVER, PORT))
    for p in server.others:  # the name server
        p.kill()
        p.wait()
    with daemon.connect() as s:
        s.sendall(b'{"cmd":"vpn_start","profile":"work"}\n')
        time.sleep(0.3)
        begin = time.time()
        assert daemon.ask("ping") == {"status": "pong"} and time.time() - begin < 0.5
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert children(daemon) == []


def test_name_servers_that_are_silent(place):
    """With two names to look for, each of which takes as long as it may: the error is of a name."""
    second = ["[Peer]", "PublicKey = " + wireguard.key()[1], "Endpoint = second.vpn.test:9", "AllowedIPs = 10.9.0.0/16"]
    server, daemon = place(gateway=True, names=True, remote="%s:%d" % (SERVER, PORT), lines=second)
    for p in server.others:  # the name server
        p.send_signal(signal.SIGSTOP)
    answer = start(daemon)
    assert answer["status"] == "error" and SERVER in answer["error"], answer
    assert children(daemon) == []


def test_anything_in_any_order(place):
    """Requests and accidents at random: each request is answered in time by a status that its command has, the daemon
    lives, and a stop leaves nothing. MICROVM_VPND_SECONDS makes it longer, MICROVM_VPND_SEED repeats it."""
    server, daemon = place(gateway=True, allowed="0.0.0.0/0", names=True, remote="%s:%d" % (SERVER, PORT))
    names, before = daemon.names(), network(server)
    seed = int(os.environ.get("MICROVM_VPND_SEED", "0")) or int(time.time())
    chance, ends = random.Random(seed), time.time() + float(os.environ.get("MICROVM_VPND_SECONDS", "10"))
    done = []

    def ask(statuses, cmd, **fields):
        begin = time.time()
        answer = daemon.ask(cmd, **fields)
        done.append((cmd, answer))
        assert time.time() - begin < 5 and answer["status"] in statuses, (seed, done[-10:], daemon.said()[-3000:])
        return answer

    def stop():
        ask(["disconnected"], "vpn_stop")
        assert (children(daemon), daemon.names(), network(server)) == ([], names, before), (seed, done[-10:])

    def kill_one():
        with contextlib.suppress(ProcessLookupError, IndexError):
            os.kill(int(chance.choice(children(daemon))), chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)))
    acts = [lambda: ask(["connected", "ok", "error"], "vpn_start", profile="work"),
            lambda: ask(["connected", "ok", "error"], "vpn_start", profile="work.conf"), stop, kill_one, kill_one,
            lambda: ask(["connected", "disconnected", "error"], "vpn_status"), lambda: daemon.raw(b"pause\n"),
            lambda: daemon.raw(b"resume\n"), lambda: time.sleep(chance.random()),
            lambda: subprocess.run(["ip", "-n", server.near, "link", "del", "tun0"], stderr=subprocess.DEVNULL),
            lambda: (server.stop(), time.sleep(chance.random()), server.start())]
    while time.time() < ends:
        chance.choice(acts)()
        time.sleep(chance.choice((0, 0, 0.01, 0.1, 0.5)))
    stop()
    assert start(daemon) == CONNECTED, (seed, daemon.said()[-3000:])
    assert server.fetch() == "from 10.8.0.2\n"
