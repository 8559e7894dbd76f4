# SPDX-License-Identifier: MIT OR Apache-2.0
"""The VPN daemon with OpenVPN against a real server (openvpn.py): each way to come in, what
may go wrong, and how it ends. The daemon runs in the namespace from which the server is
reached, so no machine is needed."""
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
from openvpn import PASSWORD, PIN, URL, USER

pytestmark = pytest.mark.skipif(bool(vpnd.missing() or openvpn.usable()), reason=vpnd.missing() or openvpn.usable())


@pytest.fixture
def place(tmp_path):
    """Starts a server and a daemon, and gives the daemon its profile, 'work.ovpn'."""
    with contextlib.ExitStack() as stack:
        def make(*options, profile=(), remote=None, **kw):
            os.makedirs(tmp_path / "server")
            os.makedirs(tmp_path / "vpnd")
            server = stack.enter_context(openvpn.Vpn(tmp_path / "server", **kw))
            daemon = stack.enter_context(vpnd.Vpnd(tmp_path / "vpnd", "--openvpn", shutil.which("openvpn"), *options,
                                                   namespace=server.near))
            daemon.put("work.ovpn", server.profile(remote, *profile))
            return server, daemon
        yield make


def start(daemon, wait=True, **fields):
    return daemon.start("work.ovpn", wait, 30, **fields)


CONNECTED = {"status": "connected", "tun_ip": "10.8.0.2"}


def openvpn_pid(daemon):
    out = subprocess.run(["pgrep", "-P", str(daemon.process.pid)], stdout=subprocess.PIPE).stdout.split()
    return int(out[0]) if out else None


def test_connect_and_stop(place):
    server, daemon = place()
    before = daemon.names()
    assert start(daemon) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"
    assert daemon.ask("vpn_status") == CONNECTED
    assert daemon.ask("vpn_status", detail=True) == dict(CONNECTED, state="connected", profile="work.ovpn")
    assert start(daemon) == CONNECTED, "it is connected already"
    assert daemon.ask("vpn_start", profile="work") == CONNECTED
    assert "nameserver 10.77.7.1\n" in daemon.names() and "search vpn.test\n" in daemon.names()
    daemon.put("other.ovpn", "client\n")
    assert "vpn_stop" in daemon.ask("vpn_start", profile="other")["error"]
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert daemon.names() == before and openvpn_pid(daemon) is None
    assert daemon.ask("vpn_status") == {"status": "disconnected"}
    assert server.fetch(timeout=1) is None
    assert start(daemon) == CONNECTED, "and again"


def test_name_servers(place):
    """In the server's order, of either kind; a DHCP client's are taken for later."""
    server, daemon = place(push=["dhcp-option DNS 10.77.7.2", "dhcp-option DNS6 fd00::1", "dhcp-option DNS 10.77.7.4"])
    ours = "# of the VPN, while it is up\nsearch vpn.test\n" \
           "nameserver 10.77.7.1\nnameserver 10.77.7.2\nnameserver fd00::1\n"
    assert start(daemon) == CONNECTED
    assert daemon.names() == ours
    assert os.stat(daemon.resolv).st_mode & 0o777 == 0o644, "also for who is not root"
    for lease in ("nameserver 192.0.2.7\n", "nameserver 192.0.2.8\n"):
        with open(daemon.resolv + ".new", "w") as f:
            f.write(lease)
        os.rename(daemon.resolv + ".new", daemon.resolv)
        until = time.time() + 5
        while daemon.names() != ours and time.time() < until:
            time.sleep(0.02)
        assert daemon.names() == ours
    with open(daemon.resolv, "w") as f:
        f.write("nameserver 192.0.2.9\n")
    time.sleep(0.5)
    assert daemon.names() == ours
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert daemon.names() == "nameserver 192.0.2.9\n"
    os.remove(daemon.resolv)
    assert start(daemon) == CONNECTED and daemon.names() == ours
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert not os.path.exists(daemon.resolv), "there was none"


def test_credentials_wrong_then_right(place):
    server, daemon = place(auth="password")
    assert start(daemon) == {"status": "error", "error": "the server wants a username and a password"}
    answer = start(daemon, username=USER, password="wrong")
    assert answer == {"status": "error", "error": "the server refused the username or password"}
    assert daemon.ask("vpn_status")["status"] == "error", "it stays until something else is asked for"
    assert start(daemon, username=USER, password=PASSWORD) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    answer = start(daemon, username=USER, password="a\nsignal SIGTERM")
    assert "control characters" in answer["error"]


def test_credentials_are_nowhere(place):
    """Neither in the command line, nor in files, nor in what is printed."""
    server, daemon = place(auth="password")
    assert start(daemon, username=USER, password=PASSWORD) == CONNECTED
    with open("/proc/%d/cmdline" % openvpn_pid(daemon)) as f:
        assert PASSWORD not in f.read()
    assert PASSWORD not in daemon.said()
    for folder, _, files in os.walk(daemon.folder):
        for name in files:
            if os.path.isfile(os.path.join(folder, name)):
                with open(os.path.join(folder, name), errors="replace") as f:
                    assert PASSWORD not in f.read()


@pytest.mark.parametrize("auth", ["static", "crv1", "crtext"])
def test_the_server_asks(place, auth):
    """A static and a dynamic challenge, and a question in the middle."""
    server, daemon = place(auth=auth)
    asked = start(daemon, username=USER, password=PASSWORD)
    assert asked["status"] == "error" and "response" in asked["error"]
    assert asked["challenge"] == ("The code from your phone" if auth == "crtext" else "Your PIN, please")
    assert daemon.ask("vpn_status")["challenge"] == asked["challenge"]
    assert daemon.ask("vpn_status", detail=True)["state"] == "asking"
    assert start(daemon, response=PIN) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"


@pytest.mark.parametrize("auth", ["static", "crv1", "crtext"])
def test_a_wrong_answer(place, auth):
    server, daemon = place(auth=auth)
    assert "challenge" in start(daemon, username=USER, password=PASSWORD)
    answer = start(daemon, response="1234")
    assert "refused" in answer["error"] and "challenge" not in answer
    assert "challenge" in start(daemon, username=USER, password=PASSWORD), "and anew"
    assert start(daemon, response=PIN) == CONNECTED


def test_an_answer_given_at_once(place):
    server, daemon = place(auth="static")
    assert start(daemon, username=USER, password=PASSWORD, response=PIN) == CONNECTED


@pytest.mark.parametrize("auth", ["webauth", "openurl"])
def test_web_authentication(place, auth):
    server, daemon = place(auth=auth)
    answer = start(daemon, username=USER, password="")
    assert answer == {"status": "webauth_required", "auth_url": URL % 1}
    assert daemon.ask("vpn_check_webauth") == answer
    assert start(daemon) == answer, "asked for again it goes on"
    server.authenticate()
    assert daemon.until("connected")["tun_ip"] == "10.8.0.2"
    assert daemon.ask("vpn_check_webauth") == CONNECTED


def test_web_authentication_refused(place):
    server, daemon = place(auth="webauth")
    assert start(daemon, username=USER, password="")["status"] == "webauth_required"
    server.authenticate(False)
    assert "refused" in daemon.until("error")["error"]
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}


def test_the_server_restarts(place):
    server, daemon = place()
    assert start(daemon) == CONNECTED
    server.stop(signal.SIGKILL)
    daemon.until("disconnected", state="reconnecting")
    assert "tun_ip" not in daemon.ask("vpn_status")
    server.start()
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"
    assert "nameserver 10.77.7.1" in daemon.names()


def test_the_server_restarts_with_passwords(place):
    """What the user gave once is enough."""
    server, daemon = place(auth="password", profile=["auth-nocache"])
    assert start(daemon, username=USER, password=PASSWORD) == CONNECTED
    server.stop()
    daemon.until("disconnected", state="reconnecting")
    server.start()
    daemon.until("connected")


def test_a_dead_server(place):
    server, daemon = place()
    vpnd.a_dead_server(server, daemon, "work.ovpn")


def test_others_are_heard_while_one_starts(place):
    server, daemon = place()
    server.stop()
    with daemon.connect() as s:
        s.sendall(b'{"cmd":"vpn_start","profile":"work"}\n')
        time.sleep(0.3)
        begin = time.time()
        assert daemon.ask("ping") == {"status": "pong"}
        assert daemon.ask("vpn_status", detail=True)["state"] == "connecting"
        assert time.time() - begin < 0.5
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}, "he who asked has gone meanwhile"


def test_stopped_while_it_starts(place):
    server, daemon = place()
    server.stop()
    with daemon.connect() as s:
        s.sendall(b'{"cmd":"vpn_start","profile":"work"}\n')
        time.sleep(0.5)
        assert daemon.ask("vpn_stop") == {"status": "disconnected"}
        assert s.recv(200) == b'{"status":"error","error":"it was stopped"}\n'


def test_a_server_that_is_not_there(place):
    """TCP, refused: nothing to wait for, but OpenVPN tries again, less and less often."""
    server, daemon = place(proto="tcp-client", profile=["connect-retry-max 2", "connect-retry 1"],
                           remote="10.99.0.1 9", server=["proto tcp-server"])
    answer = start(daemon)
    assert "OpenVPN ended with status" in answer["error"]


def test_lost_datagrams(place):
    """One of ten each way, by a program; test_vpn_tunnel.py has the kernel's own netem, where there is one."""
    server, daemon = place(remote="127.0.0.1 1195")
    server.lossy(10, 1195)
    if start(daemon, wait=False)["status"] != "connected":
        daemon.until("connected")
    assert server.fetch(timeout=30) == "from 10.8.0.2\n"


def test_a_profile_of_200_kb(place):
    server, daemon = place()
    filling = "".join("# %060d\n" % i for i in range(3300))
    daemon.put("work.ovpn", filling + server.profile())
    assert os.path.getsize(os.path.join(daemon.profiles, "work.ovpn")) > 200000
    assert start(daemon) == CONNECTED


def test_openvpn_is_killed(place):
    """A new one takes its place, with what the user gave; the resolver follows."""
    server, daemon = place(auth="password")
    assert start(daemon, username=USER, password=PASSWORD) == CONNECTED
    first = openvpn_pid(daemon)
    os.kill(first, signal.SIGKILL)
    daemon.until("disconnected", state="reconnecting")
    daemon.until("connected")
    assert openvpn_pid(daemon) != first and server.fetch() == "from 10.8.0.2\n"
    assert "nameserver 10.77.7.1" in daemon.names()


def test_the_interface_is_taken_away(place):
    server, daemon = place()
    assert start(daemon) == CONNECTED
    server.ip(server.near, "link", "del", "tun0")
    daemon.until("disconnected", state="reconnecting")
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"


def test_a_profile_that_openvpn_refuses(place):
    server, daemon = place()
    daemon.put("work.ovpn", "client\ndev tun\n")
    answer = start(daemon)
    assert answer["status"] == "error" and "remote" in answer["error"], answer
    daemon.put("work.ovpn", server.profile().replace("client\n", "client\ncipher NO-SUCH\n", 1))
    assert start(daemon)["status"] == "error"
    daemon.put("work.ovpn", server.profile())
    assert start(daemon) == CONNECTED


def test_pause_and_resume(place):
    server, daemon = place()
    assert start(daemon) == CONNECTED
    assert daemon.raw(b"pause\n") == b"paused\n"
    assert daemon.until("disconnected", state="paused")
    assert server.fetch(timeout=1) is None
    time.sleep(3)
    assert daemon.ask("vpn_status") == {"status": "disconnected"}
    assert daemon.raw(b"resume\n") == b"resumed\n"
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"


@pytest.mark.parametrize("auth,before,after", [("webauth", "webauth_required", "webauth_required"),
                                               ("crv1", "error", "error"), ("static", "error", "error"),
                                               ("crtext", "error", "error")])
def test_pause_while_the_user_is_asked(place, auth, before, after):
    """Resumed, the server asks anew."""
    server, daemon = place(auth=auth)
    assert start(daemon, username=USER, password=PASSWORD)["status"] == before
    if auth == "webauth":
        server.pending()
    assert daemon.raw(b"pause\n") == b"paused\n"
    daemon.until("disconnected", state="paused")
    assert daemon.raw(b"resume\n") == b"resumed\n"
    daemon.until(after)
    if auth == "webauth":
        server.authenticate()
        daemon.until("connected")
    else:
        assert start(daemon, response=PIN) == CONNECTED


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_daemon_ends(place, how):
    """OpenVPN ends with it, and the resolver is as it was, or is by its next start."""
    server, daemon = place()
    before = daemon.names()
    assert start(daemon) == CONNECTED
    child = openvpn_pid(daemon)
    daemon.process.send_signal(how)
    daemon.process.wait(10)
    until = time.time() + 5
    while os.path.exists("/proc/%d" % child) and time.time() < until:
        time.sleep(0.05)
    assert not os.path.exists("/proc/%d" % child)
    if how == signal.SIGKILL:
        assert daemon.names() != before
        r = subprocess.Popen([vpnd.VPND, "--listen", "tcp:127.0.0.1:0", "--profiles", daemon.profiles, "--run",
                              os.path.join(daemon.folder, "run"), "--resolv-conf", daemon.resolv])
        while daemon.names() != before and r.poll() is None and time.time() < until + 5:
            time.sleep(0.05)
        r.terminate()
        r.wait(10)
    assert daemon.names() == before


def test_scripts_only_where_they_are_allowed(place, tmp_path):
    said = tmp_path / "said"
    script = tmp_path / "up.sh"
    script.write_text("#!/bin/sh\necho up >%s\n" % said)
    script.chmod(0o755)
    server, daemon = place("--allow-scripts")
    daemon.put("work.ovpn", server.profile(None, "script-security 2", "up %s" % script))
    assert start(daemon) == CONNECTED
    assert said.read_text() == "up\n"


LEAK = """import socket
for family, to in %r:
    try:
        socket.socket(family, socket.SOCK_DGRAM).sendto(b"leak", to)
    except OSError:
        pass
"""


def leak(server, *to):
    places = [(10 if ":" in host else 2, (host, port)) for host, port in to]
    assert server.run("python3", "-c", LEAK % places).wait(10) == 0


def leave_attempts(server):
    """Programs of the guest that want out: HTTP, name servers, IPv6, the server itself, its neighbours."""
    assert server.fetch(timeout=1) is None
    leak(server, (openvpn.FAR, 53), ("8.8.8.8", 53), ("10.99.0.77", 9), (openvpn.BEYOND, 1195), (openvpn.FAR6, 9),
         ("2001:db8::1", 9))


def test_nothing_leaves_without_the_vpn(place):
    """--only: read along at the other end of the cable while there is no tunnel, while there is one,
    when the server and when OpenVPN goes, and after the daemon was killed."""
    server, daemon = place("--only", gateway=True, push=["redirect-gateway def1"])
    seen = server.watch()
    leave_attempts(server)
    assert seen() == [], "before"
    assert start(daemon) == CONNECTED
    assert server.fetch() == "from 10.8.0.2\n"
    leak(server, ("203.0.113.9", 9), ("2001:db8::1", 9))
    assert seen() == [], "all of it goes through the tunnel"
    server.ip(server.near, "link", "add", "new0", "type", "veth", "peer", "name", "new1")
    group, until = b"", time.time() + 5
    while b"group 1025" not in group and time.time() < until:
        group = subprocess.run(["ip", "-n", server.near, "link", "show", "new0"], stdout=subprocess.PIPE).stdout
    assert b"group 1025" in group, "an interface that comes later is closed, too"
    for family, gateway in (("-4", openvpn.FAR), ("-6", openvpn.FAR6)):
        r = subprocess.run(["ip", "-n", server.near, family, "route", "show", "table", "1025"], stdout=subprocess.PIPE)
        assert b"default via %s dev wire0" % gateway.encode() in r.stdout, "OpenVPN's way to its server"
    os.kill(openvpn_pid(daemon), signal.SIGKILL)
    leave_attempts(server)
    assert seen() == [], "when OpenVPN was killed"
    daemon.until("connected")
    assert server.fetch() == "from 10.8.0.2\n"
    server.stop(signal.SIGKILL)
    daemon.until("disconnected", state="reconnecting")
    leave_attempts(server)
    assert seen() == [], "when the server is gone"
    server.start()
    daemon.until("connected")
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    leave_attempts(server)
    assert seen() == [], "stopped"
    daemon.process.kill()
    daemon.process.wait(10)
    leave_attempts(server)
    assert seen() == [], "when the daemon was killed"


def test_without_only_all_that_leaves(place):
    """The test above would see it."""
    server, daemon = place(gateway=True)
    seen = server.watch()
    server.fetch(timeout=1)
    leak(server, ("8.8.8.8", 53), (openvpn.FAR6, 9), ("2001:db8::1", 9))
    all_of_it = {"6:%s:80" % openvpn.HIDDEN, "17:8.8.8.8:53", "ip6:17:" + openvpn.FAR6, "ip6:17:2001:db8::1"}
    found, until = set(seen()), time.time() + 10
    while not all_of_it <= found and time.time() < until:
        found |= set(seen())
    assert all_of_it <= found


def test_the_server_has_a_name(place):
    """With --only OpenVPN's question for it leaves, and no other, then or later."""
    server, daemon = place("--only", gateway=True, names=True, remote="%s %d" % (openvpn.SERVER, openvpn.PORT))
    seen = server.watch()
    assert start(daemon) == CONNECTED
    asked = seen()
    assert asked and set(asked) == {"17:%s:53" % openvpn.FAR}
    leak(server, (openvpn.FAR, 53))
    assert seen() == []
    server.stop()
    daemon.until("disconnected", state="reconnecting")
    server.start()
    daemon.until("connected")


def test_anything_in_any_order(place):
    """Requests and accidents at random: each request is answered in time by a status that its command
    has, the daemon lives, and a stop leaves nothing. MICROVM_VPND_SECONDS makes it longer."""
    server, daemon = place(auth="password")
    before = daemon.names()
    seed = int(os.environ.get("MICROVM_VPND_SEED", "0")) or int(time.time())
    chance, ends = random.Random(seed), time.time() + float(os.environ.get("MICROVM_VPND_SECONDS", "10"))
    right, wrong = {"username": USER, "password": PASSWORD}, {"username": USER, "password": "x"}

    def ask(statuses, cmd, **fields):
        begin = time.time()
        answer = daemon.ask(cmd, **fields)
        done.append((cmd, answer))
        assert time.time() - begin < 5 and answer["status"] in statuses, (seed, done[-10:], daemon.said()[-3000:])
        return answer

    def kill_openvpn():
        with contextlib.suppress(ProcessLookupError):
            pid = openvpn_pid(daemon)
            if pid:
                os.kill(pid, chance.choice((signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)))

    def stop():
        ask(["disconnected"], "vpn_stop")
        assert openvpn_pid(daemon) is None and daemon.names() == before, (seed, done[-10:])
    started = ["connected", "ok", "error"]
    acts = [lambda: ask(started, "vpn_start", profile="work", **right), lambda: ask(started, "vpn_start", profile="work"),
            lambda: ask(started, "vpn_start", profile="work", **wrong), stop, kill_openvpn, kill_openvpn,
            lambda: ask(["connected", "disconnected", "error"], "vpn_status"), lambda: daemon.raw(b"pause\n"),
            lambda: daemon.raw(b"resume\n"), lambda: time.sleep(chance.random()),
            lambda: subprocess.run(["ip", "-n", server.near, "link", "del", "tun0"], stderr=subprocess.DEVNULL),
            lambda: (server.stop(signal.SIGKILL), time.sleep(chance.random()), server.start())]
    done = []
    while time.time() < ends:
        chance.choice(acts)()
        time.sleep(chance.choice((0, 0, 0.01, 0.1, 0.5)))
    stop()
    while start(daemon, **right)["status"] != "connected":  # the server may be waiting for the last one to go
        assert time.time() < ends + 30, (seed, done[-10:], daemon.said()[-3000:])
    assert server.fetch() is not None
