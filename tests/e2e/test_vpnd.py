# SPDX-License-Identifier: MIT OR Apache-2.0
"""The VPN daemon's lines, profiles and secret, spoken to over TCP, as WSL2 has it. What it
does with OpenVPN is in test_vpnd_openvpn.py."""
import json
import os
import pathlib
import re
import socket
import stat
import subprocess
import sys
import time

import pytest

import protocol
import vpnd
from test_exec import place  # noqa: F401: a fixture

pytestmark = pytest.mark.skipif(bool(vpnd.missing()), reason=vpnd.missing())


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@pytest.fixture
def daemon(tmp_path):
    with vpnd.Vpnd(tmp_path, port=free_port()) as d:
        yield d


PONG = b'{"status":"pong"}\n'


@pytest.mark.parametrize("data,back", [
    (b'{"cmd": "ping"}\n', PONG),
    (b'{"cmd":"ping"}', PONG),
    (b'{"cmd":"ping"}{"cmd":"ping"}\r\n\n{"cmd":"ping"}\n', 3 * PONG),
    (b"ping\r\nstatus\npause\nresume\ndance\n", b"pong\nrunning\npaused\nresumed\nunknown: dance\n"),
    (b"\n\n", b""),
    (b'{"cmd":"ping"\n{"cmd":"ping"}\n', None),
], ids=range(6))
def test_lines(daemon, data, back):
    got = daemon.raw(data)
    if back is None:  # a broken line is answered, and hurts no other
        wrong, right = got.splitlines(True)
        assert json.loads(wrong)["status"] == "error" and right == PONG
    else:
        assert got == back


def test_every_example_is_told(daemon):
    """Each line of proto/vpn.md, to the daemon: what is wrong is answered as that, what is well is not."""
    told = protocol.vpn()
    assert len(told) >= 34
    for line, meant in told:
        if "shutdown" in meant:
            continue  # test_shutdown
        answer = daemon.raw(line.encode() + b"\n")
        assert answer.count(b"\n") == 1, (line, answer)
        if not line.startswith("{"):
            assert answer.startswith(b"unknown: ") == (meant == "wrong"), (line, answer)
            continue
        answer = json.loads(answer)
        ill = answer["status"] == "error" and "profile '" not in answer["error"]
        assert ill == (meant == "wrong"), (line, answer)


def test_an_answer_comes_before_the_line_ends(daemon):
    """A whole object is a request: who reads before it ends its line is not left waiting."""
    with daemon.connect() as s:
        s.sendall(b'{"cmd":"ping"}')
        assert s.recv(100) == PONG
        for c in b'{"cmd": "ping"}\n':
            s.sendall(bytes([c]))
        assert s.recv(100) == PONG


def test_an_answer_is_one_write(daemon):
    """Who reads once has all of it: so do old clients."""
    for i in range(60):
        with open(os.path.join(daemon.profiles, "%03d" % i + "x" * 100), "w"):
            pass
    with daemon.connect() as s:
        for _ in range(100):
            s.sendall(b'{"cmd":"list_profiles"}')
            answer = s.recv(65536)
            assert answer.endswith(b"\n") and len(json.loads(answer)["profiles"]) == 60


def test_silent_clients_hold_up_nobody(daemon):
    """Also more than there may be: those that were silent longest make room."""
    silent = [daemon.connect() for _ in range(400)]
    for s in silent[:50]:
        try:
            s.sendall(b'{"cmd":"pi')
        except OSError:
            pass
    begin = time.time()
    assert daemon.ask("ping") == {"status": "pong"}
    assert time.time() - begin < 1
    for s in silent:
        s.close()
    assert daemon.ask("ping") == {"status": "pong"}


def test_who_does_not_read_holds_up_nobody(daemon):
    with daemon.connect(timeout=2) as s:
        try:
            while True:
                s.sendall(b'{"cmd":"list_profiles"}\n' * 1000)
        except socket.timeout:
            pass
        assert daemon.ask("ping") == {"status": "pong"}


def test_long_lines(daemon):
    profile = ("client\n" + "".join("# %060d\n" % i for i in range(17000)))[:1 << 20]
    daemon.put("long.ovpn", profile)
    with open(os.path.join(daemon.profiles, "long.ovpn")) as f:
        assert f.read() == profile
    answer = daemon.ask("vpn_set_profile", name="long.ovpn", content=profile + "#")
    assert answer["status"] == "error" and "1048576" in answer["error"]
    with daemon.connect() as s:
        try:
            for _ in range(64):
                s.sendall(b"x" * 65536)
            assert b"too long" in s.recv(100)
        except ConnectionError:
            pass  # it was closed while we spoke
    assert daemon.ask("ping") == {"status": "pong"}


def test_profiles(daemon):
    assert daemon.ask("list_profiles") == {"status": "ok", "profiles": []}
    daemon.put("b.ovpn", "client\n")
    daemon.put("a ü.ovpn", "client\n")
    daemon.put("b.ovpn", "client\ndev tun\n")
    assert daemon.ask("list_profiles") == {"status": "ok", "profiles": ["a ü.ovpn", "b.ovpn"]}
    path = os.path.join(daemon.profiles, "b.ovpn")
    assert open(path).read() == "client\ndev tun\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(daemon.profiles).st_mode) == 0o700
    assert sorted(os.listdir(daemon.profiles)) == ["a ü.ovpn", "b.ovpn"]


@pytest.mark.parametrize("name", ["", ".", "..", ".x", "../x", "a/b", "/etc/passwd", "a\nb", "x" * 129, "a\\b"])
def test_names_that_are_refused(daemon, name):
    assert daemon.ask("vpn_set_profile", name=name, content="client\n")["status"] == "error"
    assert daemon.ask("vpn_start", profile=name)["status"] == "error"
    assert daemon.ask("list_profiles")["profiles"] == []


def test_an_empty_profile(daemon):
    for content in ("", "\n", "# client\n"):
        answer = daemon.ask("vpn_set_profile", name="x", content=content)
        assert answer["status"] == "error" and "it is empty: there is no remote" in answer["error"]
    assert daemon.ask("list_profiles")["profiles"] == []


def test_what_a_profile_may_not_say(daemon):
    answer = daemon.ask("vpn_set_profile", name="x", content="client\nup /tmp/evil\n")
    assert answer["status"] == "error" and "line 2: 'up' runs a program" in answer["error"]
    assert daemon.ask("list_profiles")["profiles"] == []
    # and one that has come otherwise is looked at when it is started
    with open(os.path.join(daemon.profiles, "y.ovpn"), "w") as f:
        f.write("client\nca /etc/ssl/ca.pem\n")
    answer = daemon.ask("vpn_start", profile="y")
    assert answer["status"] == "error" and "line 2: 'ca' names a file" in answer["error"]
    os.symlink("/etc/hostname", os.path.join(daemon.profiles, "z.ovpn"))
    assert daemon.ask("vpn_start", profile="z")["error"] == "there is no profile 'z'"


def test_words_that_are_cut(daemon):
    """In the middle of a character: the answer is JSON all the same."""
    for n in range(36, 44):
        assert daemon.ask("x" * (n + 60) + "\u20ac" * 9)["status"] == "error"


def test_requests_behind_a_start(daemon):
    """Each gets its answer, in order, and in time."""
    daemon.put("x.ovpn", "client\nremote 192.0.2.1\n")
    lines = b'{"cmd":"vpn_start","profile":"x"}\n{"cmd":"vpn_stop"}\n{"cmd":"vpn_start","profile":"y"}\n{"cmd":"ping"}\n'
    begin = time.time()
    statuses = [json.loads(line)["status"] for line in daemon.raw(lines, timeout=20).splitlines()]
    assert statuses[1:] == ["disconnected", "error", "pong"] and time.time() - begin < 8


def test_the_secret(daemon):
    secret = daemon.ask("get_auth_secret")["auth_secret"]
    assert re.fullmatch("[0-9a-f]{64}", secret)
    assert daemon.ask("get_auth_secret")["auth_secret"] == secret
    path = os.path.join(daemon.folder, "run", "secret")
    assert open(path).read() == secret and stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_the_secret_enforced(tmp_path):
    with vpnd.Vpnd(tmp_path, "--auth", port=free_port()) as d:
        assert d.ask("ping") == {"status": "pong"}
        assert d.ask("list_profiles")["status"] == "error"
        secret = d.ask("get_auth_secret")["auth_secret"]
        assert d.ask("get_auth_secret")["status"] == "error", "only who asks first gets it"
        assert d.ask("get_auth_secret", auth=secret)["auth_secret"] == secret
        assert d.ask("list_profiles", auth=secret)["status"] == "ok"
        assert d.ask("list_profiles", auth=secret[:-1] + "x")["status"] == "error"
        assert d.ask("shutdown", auth="")["status"] == "error"
        assert b"error" in d.raw(b"shutdown\n")
        assert d.ask("shutdown", auth=secret) == {"status": "ok"}
        assert d.process.wait(5) == 0


def test_nothing_runs(daemon):
    assert daemon.ask("vpn_status") == {"status": "disconnected"}
    assert daemon.ask("vpn_check_webauth") == {"status": "disconnected"}
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert daemon.ask("vpn_status", detail=True) == {"status": "disconnected", "state": "idle"}
    assert daemon.ask("vpn_start", profile="x") == {"status": "error", "error": "there is no profile 'x'"}


@pytest.mark.parametrize("data,back", [(b'{"cmd":"shutdown"}\n', b'{"status":"ok"}\n'),
                                       (b"shutdown\n", b"shutting down\n")])
def test_shutdown(daemon, data, back):
    assert daemon.raw(data) == back
    assert daemon.process.wait(5) == 0


def test_no_openvpn(tmp_path):
    with vpnd.Vpnd(tmp_path, "--openvpn", "/no/such/openvpn", port=free_port()) as d:
        d.put("x.ovpn", "client\n")
        answer = d.ask("vpn_start", profile="x")
        assert answer["status"] == "error" and "/no/such/openvpn: No such file" in answer["error"]


# An OpenVPN that does nothing but speak to its management interface, and not always that.
OPENVPN = """#!%s
import os, signal, socket, sys, time
log = open(os.path.join(os.path.dirname(sys.argv[0]), "began"), "a")
log.write("%%f\\n" %% time.time())
log.close()
s = socket.socket(socket.AF_UNIX)
def there():
    s.connect(sys.argv[sys.argv.index("--management") + 1])
def say(line):
    s.sendall(line.encode() + b"\\n")
%s
while True:
    time.sleep(100)
"""


@pytest.fixture
def made_up(tmp_path):
    daemons = []

    def made_up(what):
        program = tmp_path / "openvpn"
        program.write_text(OPENVPN % (sys.executable, what))
        program.chmod(0o755)
        d = vpnd.Vpnd(tmp_path, "--openvpn", str(program), port=free_port())
        daemons.append(d)
        d.put("x.ovpn", "client\n")
        d.put("y.ovpn", "client\n")
        return d
    yield made_up
    for d in daemons:
        d.end()


def in_time(daemon, cmd, **fields):
    begin = time.time()
    answer = daemon.ask(cmd, **fields)
    assert time.time() - begin < 4, answer
    return answer


@pytest.mark.parametrize("what", ["", "there()", "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nthere()"],
                         ids=["nobody", "silent", "deaf"])
def test_an_openvpn_that_hangs(made_up, what):
    """Each answer comes within 4 s, also while the one before does not want to end."""
    daemon = made_up(what)
    assert in_time(daemon, "vpn_start", profile="x") == {"status": "ok"}
    assert in_time(daemon, "vpn_start", profile="y") == {"status": "ok"}
    assert in_time(daemon, "vpn_status", detail=True) == {"status": "disconnected", "state": "connecting", "profile": "y.ovpn"}
    assert in_time(daemon, "vpn_stop") == {"status": "disconnected"}
    assert len((pathlib.Path(daemon.folder) / "began").read_text().split()) == 2


def test_another_start_takes_the_place_of_one(made_up):
    """Who waits for the first hears so at once, and not of the second's tunnel."""
    daemon = made_up("there()\nif 'y.ovpn' in ' '.join(sys.argv):\n    say('>STATE:1,CONNECTED,SUCCESS,10.8.0.2,,,,')")
    with daemon.connect() as s:
        s.settimeout(10)
        s.sendall(b'{"cmd":"vpn_start","profile":"x"}\n')
        daemon.until("disconnected", state="connecting", profile="x.ovpn")
        assert daemon.ask("vpn_start", profile="y") == {"status": "connected", "tun_ip": "10.8.0.2"}
        assert json.loads(s.recv(1000)) == {"status": "error", "error": "another start has taken its place"}


def test_an_openvpns_last_words(made_up):
    """Those that it has said when it has ended already."""
    daemon = made_up("there()\nsay(\">PASSWORD:Verification Failed: 'Auth'\")\nos._exit(1)")
    for _ in range(20):
        answer = daemon.ask("vpn_start", profile="x")
        assert answer["status"] == "error" and "refused the username or password" in answer["error"]
    assert daemon.ask("ping") == {"status": "pong"}


def test_one_that_is_killed_again_and_again(made_up):
    """A new one each time, after pauses that double."""
    daemon = made_up("there()\nif not os.path.exists(sys.argv[0] + '.was'):\n    open(sys.argv[0] + '.was', 'w')\n"
                     "    say('>STATE:1,CONNECTED,SUCCESS,10.8.0.2,,,,')\ntime.sleep(0.2)\nos.kill(os.getpid(), 9)")
    assert daemon.ask("vpn_start", profile="x")["status"] == "connected"
    began, until = [], time.time() + 15
    while len(began) < 4 and time.time() < until:
        time.sleep(0.1)
        began = [float(t) for t in (pathlib.Path(daemon.folder) / "began").read_text().split()]
    pauses = [b - a for a, b in zip(began, began[1:])]
    assert len(pauses) == 3 and pauses[0] > 1 and pauses[1] > 2 and pauses[2] > 4, pauses
    assert daemon.ask("vpn_status", detail=True)["state"] == "reconnecting"
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}


KILLED_ONCE = ("there()\nif not os.path.exists(sys.argv[0] + '.was'):\n    open(sys.argv[0] + '.was', 'w')\n"
               "    say('>STATE:1,CONNECTED,SUCCESS,10.8.0.2,,,,')\n    time.sleep(0.3)\n    os.kill(os.getpid(), 9)\n"
               "say('>STATE:1,CONNECTED,SUCCESS,10.8.0.3,,,,')")


def test_pause_while_another_is_to_be_started(made_up):
    """It is not begun before the resume."""
    daemon = made_up(KILLED_ONCE)
    assert daemon.ask("vpn_start", profile="x")["status"] == "connected"
    daemon.until("disconnected", state="reconnecting")
    assert daemon.raw(b"pause\n") == b"paused\n"
    time.sleep(2)
    assert daemon.ask("vpn_status", detail=True)["state"] == "paused"
    assert len((pathlib.Path(daemon.folder) / "began").read_text().split()) == 1
    assert daemon.raw(b"resume\n") == b"resumed\n"
    assert daemon.until("connected")["tun_ip"] == "10.8.0.3"


def test_killed_while_it_is_paused(made_up):
    """It stays paused, and the resume begins another."""
    daemon = made_up(KILLED_ONCE)
    assert daemon.ask("vpn_start", profile="x")["status"] == "connected"
    assert daemon.raw(b"pause\n") == b"paused\n"
    time.sleep(2)
    assert daemon.ask("vpn_status", detail=True)["state"] == "paused"
    assert daemon.raw(b"resume\n") == b"resumed\n"
    assert daemon.until("connected")["tun_ip"] == "10.8.0.3"


def test_pause_while_the_one_before_ends(made_up):
    daemon = made_up("signal.signal(signal.SIGTERM, signal.SIG_IGN)\nthere()")
    assert daemon.ask("vpn_start", profile="x") == {"status": "ok"}
    with daemon.connect() as s:
        s.sendall(b'{"cmd":"vpn_start","profile":"y"}\n')
        time.sleep(0.3)
        assert daemon.raw(b"pause\n") == b"paused\n"
        time.sleep(4)
        assert daemon.ask("vpn_status", detail=True)["state"] == "paused"
        assert len((pathlib.Path(daemon.folder) / "began").read_text().split()) == 1
    assert daemon.raw(b"resume\n") == b"resumed\n"
    assert daemon.ask("vpn_status", detail=True)["state"] == "connecting"
    time.sleep(0.5)
    assert len((pathlib.Path(daemon.folder) / "began").read_text().split()) == 2


def test_which_profile_a_name_is(made_up):
    """The file of that name, then .ovpn, then .conf: for what runs and for what is to."""
    daemon = made_up("there()\nsay('>STATE:1,CONNECTED,SUCCESS,10.8.0.2,,,,')")
    daemon.put("x.conf", "client\n")
    assert daemon.ask("vpn_start", profile="x.conf", detail=True)["profile"] == "x.conf"
    assert "'x.conf' is connected: end it first" in daemon.ask("vpn_start", profile="x")["error"]
    assert daemon.ask("vpn_start", profile="x.conf")["status"] == "connected"
    assert daemon.ask("vpn_stop") == {"status": "disconnected"}
    assert daemon.ask("vpn_start", profile="x", detail=True)["profile"] == "x.ovpn"
    assert daemon.ask("vpn_start", profile="x")["status"] == "connected"


WANTS = ("there()\nif not os.path.exists(sys.argv[0] + '.was'):\n    open(sys.argv[0] + '.was', 'w')\n"
         "    say('>STATE:1,CONNECTED,SUCCESS,10.8.0.2,,,,')\n    time.sleep(0.3)\n    os.kill(os.getpid(), 9)\n"
         "say(\">PASSWORD:Need 'Auth' username/password\")\nheard = b''\nwhile b'secret' not in heard:\n"
         "    heard += s.recv(1000)\nsay('>STATE:1,CONNECTED,SUCCESS,10.8.0.3,,,,')")


@pytest.mark.parametrize("refused", [{"profile": "w", "username": "ann", "password": "x"}, {"profile": "none"},
                                     {"profile": "x", "username": "ann", "password": "x" * 600}], ids=["wireguard", "none", "long"])
def test_a_start_that_is_refused_changes_nothing(made_up, refused):
    """What runs keeps its credentials, and uses them."""
    daemon = made_up(WANTS)
    with open(os.path.join(daemon.profiles, "w.conf"), "w") as f:
        f.write("[Interface]\nPrivateKey = %s=\nAddress = 10.1.1.1\n[Peer]\nPublicKey = %s=\nEndpoint = 10.99.0.7:9\n" %
                ("B" + "A" * 42, "C" + "A" * 42))
    assert daemon.ask("vpn_start", profile="x", username="ann", password="secret")["status"] == "connected"
    daemon.until("disconnected", state="reconnecting")
    assert daemon.ask("vpn_start", **refused)["status"] == "error"
    assert daemon.until("connected")["tun_ip"] == "10.8.0.3"


def test_the_daemon_is_killed_while_somebody_waits(made_up):
    """Who waits is not left waiting."""
    daemon = made_up("there()")
    with daemon.connect() as s:
        s.sendall(b'{"cmd":"vpn_start","profile":"x"}\n')
        time.sleep(0.5)
        daemon.process.kill()
        begin = time.time()
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
        assert time.time() - begin < 1


def test_idle_it_sleeps(daemon):
    with daemon.connect() as s:
        s.sendall(PONG[:5])
        time.sleep(0.5)
        with open("/proc/%d/status" % daemon.process.pid) as f:
            before = re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", f.read()).group(1)
        time.sleep(2)
        with open("/proc/%d/status" % daemon.process.pid) as f:
            assert re.search(r"\nvoluntary_ctxt_switches:\s+(\d+)", f.read()).group(1) == before


def test_it_is_small():
    assert os.path.getsize(vpnd.VPND) < 400 * 1000


@pytest.mark.parametrize("words,says", [(["--listen", "x"], "vsock:PORT"), (["--listen", "tcp:1025"], "ADDR:PORT"),
                                        (["--listen", "vsock:x"], "no port"), (["--listen", "tcp:127.0.0.1:0"] * 5, "four"), (["--listen", "tcp:127.0.0.1:0"] * 9, "four"), (["word"], "word")])
def test_wrong_words(words, says, tmp_path):
    r = subprocess.run([vpnd.VPND, "--profiles", str(tmp_path / "p"), "--run", str(tmp_path / "r"),
                        "--resolv-conf", str(tmp_path / "c"), *words], stderr=subprocess.PIPE)
    assert r.returncode == 2 and says in r.stderr.decode()


def test_in_a_guest(kvm, place):  # noqa: F811
    """Over vsock, where it listens unless told otherwise: first thing, while silent clients hold
    on, with a profile of 1 MiB in one line."""
    r = place("run", "-d", "--name", "vpnd", *place.guest, "--vsock", "cid=7", timeout=60)
    assert r.returncode == 0, r
    try:
        assert place("cp", vpnd.VPND, "vpnd:/vpnd").returncode == 0
        script = "setsid /vpnd --openvpn /no/openvpn </dev/null >/dev/null 2>/log &"
        assert place("exec", "vpnd", "sh", "-c", script, timeout=60).returncode == 0

        def ask(data):
            return place("connect", "vpnd", "1025", stdin=data, timeout=60).stdout
        until = time.time() + 20
        while ask(b'{"cmd":"ping"}\n') != PONG and time.time() < until:
            time.sleep(0.1)
        silent = [subprocess.Popen([place.path, "connect", "vpnd", "1025"], env=place.env, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE) for _ in range(3)]
        profile = "client\n" + ("# %060d\n" % 0) * 16643  # 1 MiB
        put = json.dumps({"cmd": "vpn_set_profile", "name": "x.ovpn", "content": profile}).encode()
        assert ask(put + b'\n{"cmd":"list_profiles"}\nstatus\n') == \
            b'{"status":"ok"}\n{"status":"ok","profiles":["x.ovpn"]}\nrunning\n'
        r = place("exec", "vpnd", "sh", "-c", "wc -c </var/lib/vpnd/profiles/x.ovpn; ls -ld /run/vpnd/secret")
        assert r.stdout.decode().split()[:2] == [str(len(profile)), "-rw-------"], r
        for p in silent:
            p.kill()
            p.communicate()
        # Where the kernel has no rules of routing: it ends, and says why.
        if place("exec", "vpnd", "ip", "rule").returncode != 0:
            r = place("exec", "vpnd", "/vpnd", "--only", "--listen", "tcp:127.0.0.1:99", "--run", "/r", timeout=20)
            assert r.returncode == 1 and b"CONFIG_IP_MULTIPLE_TABLES" in r.stderr, r
            assert b"--only: Not supported" in r.stderr and b"WARNING" not in r.stderr, r
    finally:
        place("kill", "vpnd")
