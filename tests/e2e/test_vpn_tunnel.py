# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm vpn up, and programs behind its SOCKS5 server, through a tunnel to a real OpenVPN server (openvpn.py) and the user
network: the whole chain, as a user has it.

    ssh, curl -- SOCKS5 --> microvm -- vsock --> inbound-proxy -- tun0, openvpn -- the user network --> server --> hidden host

vpngate.py chooses the gateway and its bed."""
import hashlib
import json
import os
import pty
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

import openvpn
import vpngate
from openvpn import HIDDEN, PASSWORD, PIN, USER
from test_proxy import each_has_its_own, read_all, read_just, reply, socks_request
from test_ssh import SSHD, ssh_options, sshd_words
from vpnd import connect_in
from vpngate import FULL, GIVEN, SLOW, STOCK, Up

CONNECTED = "connected, 10.8.0."


# ---- beds --------------------------------------------------------------------------


def folder_of(name):
    if GIVEN or vpngate.missing():
        pytest.skip(vpngate.missing() or "this is another bed already")
    folder, why = vpngate.kernel_folder(name)
    return folder or pytest.skip(why)


def elsewhere(gateway):
    """All of it takes six minutes in kvmbox: what runs here at once needs it less."""
    some = "reaches or lost" if vpngate.native_kernel()[0] else "reaches or lost or ssh or bulk or 200 or killed"
    vpngate.tests_with(gateway, __file__, *(["-k", some] if not FULL else []))


def test_a_stock_kernel(tmp_path):
    """Debian's kernel with its modules, Debian's openvpn: what every checkout can have."""
    gateway = vpngate.make(tmp_path / "vpn", folder_of(STOCK), ours=False)
    elsewhere(gateway)


def test_in_kvmbox(tmp_path):
    """The default kernel and our openvpn, where the computer itself cannot run that kernel."""
    folder = folder_of("default")
    if vpngate.beds.has_hardware_virtualization():
        pytest.skip("it runs here")
    elsewhere(vpngate.make(tmp_path / "vpn", folder))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    if vpngate.missing():
        pytest.skip(vpngate.missing())
    if GIVEN:
        return GIVEN
    folder, why = vpngate.native_kernel()
    if not folder:
        pytest.skip("in kvmbox only: " + why)
    return vpngate.make(tmp_path_factory.mktemp("gateway") / "vpn", folder, ours=None)


# ---- a server, and a gateway that is connected to it -------------------------------


@pytest.fixture
def begin(gateway, tmp_path):
    with openvpn.contextlib.ExitStack() as stack:
        def begin(*words, profile=None, stdin=subprocess.DEVNULL, **kw):
            """profile: made of the server, when it is not the usual one."""
            server = stack.enter_context(openvpn.Vpn(tmp_path, **kw))
            up = Up(server, gateway, tmp_path, *words, profile=profile and profile(server), stdin=stdin)
            stack.callback(up.end)
            return server, up
        yield begin


@pytest.fixture(scope="module")
def vpn(gateway, tmp_path_factory):
    """One that those share who do not harm it."""
    folder = tmp_path_factory.mktemp("vpn")
    with openvpn.Vpn(folder) as server:
        up = Up(server, gateway, folder)
        try:
            up.until(CONNECTED)
            yield up
        finally:
            up.end()


def connect(up, port, host=HIDDEN):
    """A connection through the tunnel, that was replied to."""
    s = connect_in(up.server.near, 1080, 20 * SLOW)
    s.sendall(b"\5\1\0" + socks_request(host, port))
    assert read_just(s, 2) == b"\5\0"
    answer = read_just(s, 10)
    assert answer == reply(0), answer
    return s


# ---- what it is for ----------------------------------------------------------------


def network(server):
    """What R020 says stays as it is."""
    said = []
    for words in (["ip", "-br", "addr"], ["ip", "route", "show", "table", "all"], ["ip", "rule"], ["cat", "/etc/resolv.conf"]):
        said.append(server.run(*words, stdout=subprocess.PIPE).communicate()[0].decode())
    return said


def test_what_only_the_tunnel_reaches(begin):
    """curl and ssh's way through it, by address and by name; the host's network stays as it is; nothing goes around it."""
    server, up = begin()
    before = network(server)
    up.until(CONNECTED)
    assert "SOCKS5 at 127.0.0.1:1080" in up.said()
    assert server.fetch(timeout=2) is None, "this computer itself has no way there"
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n"
    assert up.fetch(openvpn.NAME) == "from 10.8.0.2\n", "the tunnel's own name server"
    ncat = server.run("ncat", "--proxy-type", "socks5", "--proxy", "127.0.0.1:1080", HIDDEN, "80", stdin=subprocess.PIPE,
                      stdout=subprocess.PIPE)
    assert ncat.communicate(b"GET / HTTP/1.0\r\n\r\n", timeout=20 * SLOW)[0].endswith(b"from 10.8.0.2\n")
    assert network(server) == before
    status, out, _ = up.vpn("status")
    assert (status, out) == (0, "connected  10.8.0.2  work.ovpn\n")
    assert json.loads(up.vpn("status", "--json")[1])["tun_ip"] == "10.8.0.2"
    assert up.vpn("profiles")[:2] == (0, "work.ovpn\n")
    # The server dies: nothing goes around the tunnel; it comes back: so does the tunnel.
    server.stop(signal.SIGKILL)
    up.until("reconnecting", 30)
    assert up.fetch(openvpn.FAR) is None, "the gateway's own way out must not be taken"
    assert up.vpn("status")[0] == 1
    server.start()
    up.connected(60)
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n"
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30 * SLOW) == 0
    assert network(server) == before
    assert up.vpn("status")[0] == 125, "the machine is gone"


@pytest.fixture(scope="module")
def sshd(vpn, tmp_path_factory):
    """At the hidden host; the words of ssh to it, with options more."""
    if not SSHD or not shutil.which("ssh"):
        pytest.skip("needs sshd and ssh (tools/deps.sh test)")
    folder = tmp_path_factory.mktemp("sshd")
    process = vpn.server.run(*sshd_words(folder, HIDDEN, 22), where=vpn.server.far)
    time.sleep(0.3)

    def ssh(*words, **kw):
        return vpn.server.run("ssh", *ssh_options(folder, 22), *words, stdout=subprocess.PIPE, **kw)
    yield ssh
    process.kill()
    process.wait()


@pytest.mark.parametrize("program", ["ncat --proxy-type socks5 --proxy 127.0.0.1:1080 %h %p", "nc -X 5 -x 127.0.0.1:1080 %h %p"])
def test_ssh(sshd, program):
    """The documentation's two; by address, and by a name that only the tunnel's name server knows."""
    if program.startswith("nc ") and "-X" not in subprocess.run(["nc", "-h"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.decode():
        pytest.skip("nc here is not OpenBSD's")
    for host in (HIDDEN, openvpn.NAME):
        p = sshd("-F", "none", "-o", "ProxyCommand=" + program, "root@" + host, "echo from $SSH_CONNECTION; exit 7")
        assert p.communicate(timeout=30 * SLOW)[0].startswith(b"from 10.8.0.2 ") and p.returncode == 7


def test_ssh_by_its_configuration(sshd, tmp_path):
    """What a user has in ~/.ssh/config; a file with its checksum taken in both places."""
    (tmp_path / "config").write_text("Host *.vpn.test\n  ProxyCommand ncat --proxy-type socks5 --proxy 127.0.0.1:1080 %h %p\n  User root\n")
    (tmp_path / "file").write_bytes(b"".join(openvpn.bytes_of(3, 8 if SLOW == 1 else 2)))
    with open(tmp_path / "file", "rb") as f:
        p = sshd("-F", str(tmp_path / "config"), openvpn.NAME, "tee %s | sha256sum" % (tmp_path / "there"), stdin=f)
        out = p.communicate(timeout=120 * SLOW)[0]
    assert out.split()[0].decode() == hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest()


def rate(what, mib, began):
    print("%s: %d MiB, %.1f MB/s" % (what, mib, mib * (1 << 20) / (time.time() - began) / 1e6))


def test_bulk(vpn):
    """Each way, with its checksum."""
    mib = (1024 if FULL else 16) if SLOW == 1 else 2
    digest, began = hashlib.sha256(), time.time()
    with connect(vpn, openvpn.SINK) as s:
        for piece in openvpn.bytes_of(1, mib):
            s.sendall(piece)
            digest.update(piece)
        s.shutdown(socket.SHUT_WR)
        s.settimeout(60 * SLOW)  # for what is underway
        assert read_all(s).decode() == digest.hexdigest()
    rate("to the hidden host", mib, began)
    want, got, began = hashlib.sha256(), hashlib.sha256(), time.time()
    with connect(vpn, openvpn.SOURCE) as s:
        s.sendall(b"2 %d\n" % mib)
        length = 0
        while data := s.recv(1 << 18):
            got.update(data)
            length += len(data)
    rate("from the hidden host", mib, began)
    for piece in openvpn.bytes_of(2, mib):
        want.update(piece)
    assert (length, got.hexdigest()) == (mib << 20, want.hexdigest())


def test_200_at_once(vpn):
    held = [connect(vpn, openvpn.ECHO) for _ in range(200 if SLOW == 1 else 20)]
    each_has_its_own(held)


def test_lost_datagrams(begin):
    """One of twenty each way, by the kernel (netem), or by a program where it has none: slower, and whole."""
    def profile(server):
        return server.profile(None if server.netem(5) else "10.0.2.2 %d" % server.lossy(5))
    server, up = begin(profile=profile)
    up.until(CONNECTED, 60)
    mib = 8 if SLOW == 1 else 1
    began = time.time()
    with connect(up, openvpn.SOURCE) as s:
        s.settimeout(60 * SLOW)
        s.sendall(b"5 %d\n" % mib)
        got = read_all(s)
    rate("with one of twenty lost", mib, began)
    want = b"".join(openvpn.bytes_of(5, mib))
    wrong = [i for i, (a, b) in enumerate(zip(got, want)) if a != b]
    assert (len(got), wrong[:1], len(wrong)) == (len(want), [], 0)


def test_a_profile_of_200_kb(begin):
    filling = "".join("# %060d\n" % i for i in range(3300))
    server, up = begin(profile=lambda server: filling + server.profile())
    up.until(CONNECTED)
    size = up.microvm("exec", "vpn", "wc", "-c", "/var/lib/vpnd/profiles/work.ovpn")[1]
    assert int(size.split()[0]) > 200000
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n"


LEAVE = ("for to in %s 8.8.8.8; do wget -q -T 1 -O - http://$to/; nslookup a.example $to; "
         "echo leak | nc -u -w 1 $to 9; done >/dev/null 2>&1; true" % openvpn.BEYOND)


def test_nothing_goes_around_the_tunnel(begin):
    """Read along at the other end of the cable while programs of the gateway want out, in each state of the tunnel; and
    without its rules they would be seen."""
    server, up = begin(gateway=True)
    seen = server.watch()

    def leave():
        assert up.microvm("exec", "vpn", "sh", "-c", LEAVE)[0] == 0
        return seen()
    up.until(CONNECTED)
    assert leave() == [], "connected"
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n" and seen() == []
    server.stop(signal.SIGKILL)
    up.until("reconnecting", 30)
    assert leave() == [] and up.fetch(openvpn.BEYOND) is None, "the server is gone"
    server.start()
    up.connected(60)
    assert up.microvm("exec", "vpn", "sh", "-c", "killall -9 openvpn; " + LEAVE)[0] == 0
    assert seen() == [], "openvpn is killed"
    up.connected(60)
    assert up.microvm("exec", "vpn", "sh", "-c", "killall -9 vpnd; " + LEAVE)[0] == 0
    assert seen() == [], "the daemon is killed"
    up.connected(60)
    assert up.fetch(HIDDEN) == "from 10.8.0.2\n"
    assert up.microvm("exec", "vpn", "sh", "-c", "for p in 710 720; do ip rule del pref $p; done; ip rule add pref 730 lookup main")[0] == 0
    assert "17:8.8.8.8:53" in leave(), "what is seen is seen"


# ---- who may come in ---------------------------------------------------------------


def test_a_password(begin, tmp_path):
    (tmp_path / "wrong").write_text("wrong\n")
    (tmp_path / "right").write_text(PASSWORD + "\n")
    server, up = begin("--user", USER, "--password-file", str(tmp_path / "wrong"), auth="password")
    assert up.process.wait(60 * SLOW) == 1, up.said()
    assert "password" in up.said().lower() or "auth" in up.said().lower()
    (tmp_path / "again").mkdir()
    r = Up(server, up.process.args[up.process.args.index("--bundle") + 1], tmp_path / "again", "--user", USER,
           "--password-file", str(tmp_path / "right"), "-d")
    assert r.process.wait(90 * SLOW) == 0, r.said()
    assert r.process.stdout.read() == b"vpn\nSOCKS5 at 127.0.0.1:1080\n"
    assert r.fetch(HIDDEN) == "from 10.8.0.2\n"
    assert r.vpn("down")[0] == 0 and r.vpn("status")[0] == 125


def test_web_authentication(begin, tmp_path):
    (tmp_path / "secret").write_text("x\n")
    server, up = begin("--user", USER, "--password-file", str(tmp_path / "secret"), auth="webauth")
    up.until("open this in your browser: https://sso.example.com/login?id=1", 30)
    server.authenticate()
    up.until(CONNECTED, 30)


class Asked:
    """The user's terminal, for a gateway that begin() makes."""

    def __init__(self, begin, tmp_path, auth, *words):
        (tmp_path / "secret").write_text(PASSWORD + "\n")
        self.master, self.slave = pty.openpty()
        self.server, self.up = begin("--user", USER, "--password-file", str(tmp_path / "secret"), *words, auth=auth, stdin=self.slave)
        self.question = "The code from your phone" if auth == "crtext" else "Your PIN, please"

    def answer(self, text):
        os.write(self.master, text.encode() + b"\n")


@pytest.fixture
def asked(begin, tmp_path):
    made = []
    yield lambda *words: made.append(Asked(begin, tmp_path, *words)) or made[-1]
    for a in made:
        os.close(a.master)
        os.close(a.slave)


@pytest.mark.parametrize("auth", ["static", "crv1", "crtext"])
def test_what_the_server_asks_is_asked_at_the_terminal(asked, auth):
    a = asked(auth)
    a.up.until(a.question + " ", 30)
    time.sleep(1)
    assert a.up.said().count(a.question) == 1
    a.answer(PIN)
    a.up.until(CONNECTED, 30)
    assert a.up.said().count(a.question) == 1 and a.up.fetch(HIDDEN) == "from 10.8.0.2\n"


@pytest.mark.parametrize("auth", ["static", "crv1", "crtext"])
def test_a_wrong_answer_at_the_terminal(asked, auth):
    a = asked(auth)
    a.up.until(a.question + " ", 30)
    a.answer("1234")
    assert a.up.process.wait(40 * SLOW) == 1, a.up.said()
    assert "refused" in a.up.said()
    assert a.up.vpn("status")[0] == 125, "nothing stays behind"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ended_while_it_asks(asked, how):
    a = asked("static")
    a.up.until(a.question + " ", 30)
    a.up.process.send_signal(signal.SIGWINCH)  # a window that is made larger is no answer
    time.sleep(1)
    a.up.process.send_signal(how)
    assert a.up.process.wait(10 * SLOW) == 0
    assert a.up.vpn("status")[0] == 125


def test_a_long_answer(asked):
    """It is refused whole: nothing of it answers the next question."""
    a = asked("static")
    a.up.until(a.question + " ", 30)
    a.answer("1" * 600)
    a.up.until(a.question + " ", 30, times=2)
    assert "at most 255 bytes" in a.up.said()
    time.sleep(1)
    assert a.up.said().count(a.question) == 2
    a.answer(PIN)
    a.up.until(CONNECTED, 30)


@pytest.mark.parametrize("auth", ["static", "crv1"])
def test_the_daemon_is_killed_while_the_server_asks(asked, auth):
    """The next one gets the name and the password, too, and the question comes again."""
    a = asked(auth)
    a.up.until(a.question + " ", 30)
    assert a.up.microvm("exec", "vpn", "killall", "-9", "vpnd")[0] == 0
    a.up.until(a.question + " ", 30, times=2)
    a.answer(PIN)
    a.up.until(CONNECTED, 30)


def test_ended_by_down_while_it_asks(asked):
    a = asked("static")
    a.up.until(a.question + " ", 30)
    assert a.up.vpn("down")[0] == 0
    assert a.up.process.wait(10 * SLOW) in (0, 1)
    assert a.up.said().endswith("Your PIN, please \nmicrovm: the gateway was ended\n"), a.up.said()


def test_stopped_and_taken_down(begin):
    """Who tells the daemon to stop has the last word, and may start it again; `down` ends `up` with one sentence."""
    server, up = begin()

    def ask(**request):
        with open(os.memfd_create("line"), "w+b") as f:
            f.write(json.dumps(request).encode() + b"\n")
            f.seek(0)
            return json.loads(up.microvm("connect", "vpn", "1025", stdin=f)[1])
    up.until(CONNECTED)
    assert ask(cmd="vpn_stop") == {"status": "disconnected"}
    up.until("the tunnel was stopped")
    time.sleep(3 * SLOW)
    assert up.said().count(CONNECTED) == 1 and "told again" not in up.said()
    assert ask(cmd="vpn_start", profile="work")["status"] == "connected"
    up.until(CONNECTED, times=2)
    assert up.vpn("down")[0] == 0
    assert up.process.wait(10 * SLOW) == 0
    assert up.said().splitlines()[-1] == "microvm: the gateway was ended" and up.said().count("there is no machine") == 0


@pytest.mark.parametrize("times", [1, 2])
def test_ended_while_the_daemon_hangs(begin, times):
    """The guest's init gives it 5 s to end; who asks a second time does not wait for that."""
    server, up = begin()
    up.until(CONNECTED)
    assert up.microvm("exec", "vpn", "killall", "-STOP", "vpnd")[0] == 0
    time.sleep(2)
    began = time.monotonic()
    up.process.send_signal(signal.SIGINT)
    if times == 2:
        time.sleep(1)
        up.process.send_signal(signal.SIGINT)
    assert up.process.wait(30 * SLOW) == (0 if times == 1 else -signal.SIGINT)
    assert time.monotonic() - began < (8 if times == 1 else 3) * SLOW
    assert "answer" not in up.said() and "no machine" not in up.said()
    until = time.monotonic() + 3 * SLOW
    while up.vpn("status")[0] != 125:
        assert time.monotonic() < until, "the machine lives on"


def own_memory(pid):
    """What the process has itself: its program's data, its heaps and stacks, not the guest's memory."""
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb") as memory:
        for line in maps:
            begin, end = (int(a, 16) for a in line.split()[0].split("-"))
            if "rw" in line.split()[1] and end - begin < 32 << 20:
                memory.seek(begin)
                yield memory.read(end - begin)


def test_secrets_are_where_they_are_needed(begin, tmp_path):
    """The password in the process that tells a new daemon, the profile's key in none."""
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    server, up = begin("--user", USER, "--password-file", str(tmp_path / "secret"), auth="password")
    up.until(CONNECTED)
    key = server.profile().split("PRIVATE KEY-----\n")[1].splitlines()[1].encode()
    with open("/proc/%d/task/%d/children" % (up.process.pid, up.process.pid)) as f:
        machine = int(f.read().split()[0])
    there = {(who, what): any(text in part for part in own_memory(pid))
             for who, pid in (("up", up.process.pid), ("machine", machine))
             for what, text in (("password", PASSWORD.encode()), ("key", key), ("name", USER.encode()))}
    assert there[("up", "name")] and there[("up", "password")], "what is looked for is found"
    assert not there[("up", "key")] and not there[("machine", "key")] and not there[("machine", "password")], there


def test_nobody_to_answer(begin, tmp_path):
    """Without a terminal the question is the error."""
    (tmp_path / "secret").write_text(PASSWORD + "\n")
    server, up = begin("--user", USER, "--password-file", str(tmp_path / "secret"), auth="static")
    assert up.process.wait(40 * SLOW) == 1
    assert "the server asks: Your PIN, please" in up.said()


# ---- whatever is killed ------------------------------------------------------------


class Flows:
    """Connections through the tunnel: one in the middle of bytes, one where nothing is said."""

    def __init__(self, up):
        self.busy, self.idle = connect(up, openvpn.SOURCE), connect(up, openvpn.ECHO)
        self.busy.sendall(b"1 1000000\n")
        assert self.busy.recv(65536)
        self.ended, self.wrong = {}, None
        self.threads = [threading.Thread(target=self.read, args=a) for a in (("busy", self.busy), ("idle", self.idle))]
        for t in self.threads:
            t.start()

    def read(self, name, s):
        s.settimeout(60 * SLOW)
        try:
            while s.recv(1 << 18):
                pass
            self.wrong = "%s: an end, as if all had come" % name
        except ConnectionResetError:
            self.ended[name] = time.time()
        except TimeoutError:
            self.wrong = "%s: nobody told it" % name
        s.close()

    def end_within(self, seconds):
        """Both hear that they were cut off; how long that took."""
        began = time.time()
        for t in self.threads:
            t.join()
        assert not self.wrong, self.wrong
        took = max(self.ended.values()) - began
        assert took < seconds * SLOW
        return took


@pytest.mark.parametrize("program,seconds", [("inbound-proxy", 2), ("openvpn", 3), ("vpnd", 3)])
def test_a_program_of_the_gateway_is_killed(begin, program, seconds):
    """At any moment. Whose connections end hears it at once; it is started again, and the tunnel comes back by itself."""
    server, up = begin()
    up.until(CONNECTED)
    chance = random.Random(program)
    for _ in range(1 if SLOW > 1 else 10 if FULL else 3):
        flows = Flows(up)
        time.sleep(chance.random())
        assert up.microvm("exec", "vpn", "killall", "-9", program)[0] == 0
        print("%s is killed: %.2f s" % (program, flows.end_within(seconds)))
        up.connected(60)
        until = time.time() + 10 * SLOW
        while up.fetch(HIDDEN) != "from 10.8.0.2\n":
            assert time.time() < until
            time.sleep(0.2)


def test_the_server_is_killed(begin):
    """It says nothing any more: found out by the server's own `keepalive`, here 4 s."""
    server, up = begin()
    up.until(CONNECTED)
    for _ in range(3 if FULL and SLOW == 1 else 1):
        flows = Flows(up)
        server.stop(signal.SIGKILL)
        print("the server is killed: %.2f s" % flows.end_within(4 + 3))
        server.start()
        up.connected(60)
        assert up.fetch(HIDDEN) == "from 10.8.0.2\n"


def test_the_machine_is_killed(begin):
    server, up = begin()
    up.until(CONNECTED)
    before = network(server)
    flows = Flows(up)
    assert up.microvm("kill", "vpn")[0] == 0
    print("the machine is killed: %.2f s" % flows.end_within(2))
    assert up.process.wait(10 * SLOW) not in (0, None), up.said()
    assert up.vpn("status")[0] == 125 and network(server) == before
    with pytest.raises(OSError):
        connect_in(server.near, 1080, 2)
