# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm-netd by itself: a guest of some bytes on its packet socket."""
import errno
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from inject import Taken

NETD = os.environ.get("MICROVM_NETD", "build/netd/microvm-netd")
MAC = b"\x52\x54\0\x12\x34\x56"


class Netd:
    def __init__(self, forwards=(), **options):
        if not os.path.exists(NETD):
            pytest.skip("microvm-netd is not built: no patched libslirp, or no libseccomp")
        self.frames, frames = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, control = socket.socketpair()
        self.frames.settimeout(10)
        self.control.settimeout(10)
        self.process = subprocess.Popen([NETD, str(frames.fileno()), str(control.fileno())],
                                        pass_fds=[frames.fileno(), control.fileno()],
                                        stdin=subprocess.DEVNULL)
        frames.close()
        control.close()
        self.opened = self.ask(dict({"do": "open"}, **options))
        for text in forwards:
            assert self.ask({"do": "forward", "add": text})["ok"]

    def ask(self, request):
        line = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.control.sendall(line + b"\n")
        return json.loads(self.control.makefile().readline())

    def receive(self, wanted):
        while True:
            frame = self.frames.recv(70000)
            if wanted(frame):
                return frame

    def status(self):
        with open("/proc/%d/status" % self.process.pid) as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)

    def end(self):
        self.frames.close()
        self.control.close()
        return self.process.wait(10)


@pytest.fixture
def start():
    running = []

    def make(**options):
        running.append(Netd(**options))
        return running[-1]

    yield make
    for netd in running:
        netd.end()


def ipv4(source, target, protocol, payload):
    header = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
                         socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack(">10H", header))
    total = (total & 0xffff) + (total >> 16)
    header = header[:10] + struct.pack(">H", ~((total & 0xffff) + (total >> 16)) & 0xffff) + \
        header[12:]
    return b"\x52\x55\x0a\0\2\2" + MAC + b"\x08\0" + header + payload


def udp(source, source_port, target, target_port, payload):
    return ipv4(source, target, 17, struct.pack(">HHHH", source_port, target_port,
                                                8 + len(payload), 0) + payload)


def tcp_syn(target, port):
    return ipv4("10.0.2.15", target, 6, struct.pack(">HHIIBBHHH", 40000, port, 1, 0, 0x50, 2,
                                                    65535, 0, 0))


def checksum(data):
    total = sum(struct.unpack(">%dH" % ((len(data) + 1) // 2), data + bytes(len(data) % 2)))
    total = (total & 0xffff) + (total >> 16)
    return ~(total + (total >> 16)) & 0xffff


def tcp(port, sequence, acknowledged, flags, window, options=b"", to="10.0.2.2"):
    """To the host itself."""
    head = struct.pack(">HHIIBBHHH", 40000, port, sequence, acknowledged,
                       (20 + len(options)) << 2, flags, window, 0, 0) + options
    pseudo = socket.inet_aton("10.0.2.15") + socket.inet_aton(to) + \
        struct.pack(">HH", 6, len(head))
    return ipv4("10.0.2.15", to, 6,
                head[:16] + struct.pack(">H", checksum(pseudo + head)) + head[18:])


def connect(netd, options):
    """A connection that the guest makes: the host's end, its port, and the SYN's answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        discover(netd)
        netd.frames.send(tcp(port, 1, 0, 2, 65535, options))
        answer = netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 6)
        assert answer[47] == 0x12
        return server.accept()[0], port, answer[34:]


def discover(netd):
    body = struct.pack(">BBBBIHH", 1, 1, 6, 0, 1, 0, 0) + bytes(16) + MAC + bytes(202)
    netd.frames.send(udp("0.0.0.0", 68, "255.255.255.255", 67,
                         body + b"\x63\x82\x53\x63\x35\1\1\xff"))
    return netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 17)[42:]


def test_dhcp_gives_an_address_and_the_mtu(start):
    netd = start(mtu=65520)
    assert netd.opened["ok"] is True
    offer = discover(netd)
    assert socket.inet_ntoa(offer[16:20]) == "10.0.2.15"
    assert b"\x1a\x02\xff\xf0" in offer[240:] and b"\x06\x04\x0a\0\2\3" in offer[240:]


def test_it_is_in_a_sandbox(start):
    netd = start()
    discover(netd)
    status = netd.status()
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    for kind in "CapPrm", "CapEff", "CapInh":
        assert int(status[kind], 16) & ~(1 << 10) == 0  # but for binding low ports
    assert len(os.listdir("/proc/%d/fd" % netd.process.pid)) <= 6


SOCKET, CLOSE, FORK, EXECVE, OPENAT, PTRACE, UNIX_DGRAM = 41, 3, 57, 59, 257, 101, 0o2000002
HERE = -100


def test_who_takes_it_over_gets_no_further(start, tmp_path):
    """Calls from inside of the running helper: no program, no process, no socket but the
    internet's, no file but the resolver's configuration to read."""
    mine = tmp_path / "mine"
    mine.write_text("secret")
    mine.chmod(0o666)
    netd = start()
    with Taken(netd.process.pid) as call:
        for family in socket.AF_INET, socket.AF_INET6:
            s = call(SOCKET, family, socket.SOCK_STREAM, 0)
            assert s >= 0 and call(CLOSE, s) == 0
        s = call(SOCKET, socket.AF_UNIX, UNIX_DGRAM, 0)  # if_nametoindex
        assert s >= 0 and call(CLOSE, s) == 0
        for family in socket.AF_UNIX, socket.AF_NETLINK, socket.AF_PACKET, socket.AF_VSOCK:
            for kind in socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_RAW, 2:
                assert call(SOCKET, family, kind, 0) == -errno.ENOSYS, (family, kind)
        assert call(FORK) == -errno.ENOSYS
        assert call(EXECVE, b"/bin/true", 0, 0) == -errno.ENOSYS
        assert call(PTRACE, 0, 0, 0) == -errno.ENOSYS
        files = [(call(OPENAT, HERE, path, flags), path) for path, flags in (
            (b"/etc/passwd", os.O_RDONLY), (str(mine).encode(), os.O_RDONLY),
            (str(mine).encode(), os.O_WRONLY), (b"/proc/self/maps", os.O_RDONLY),
            (str(tmp_path / "new").encode(), os.O_RDWR | os.O_CREAT),
            (b"/etc/microvm-test", os.O_RDWR | os.O_CREAT), (b"/etc", os.O_RDONLY))]
    assert discover(netd)  # it goes on as if nothing had been
    if not netd.opened["landlock"]:
        pytest.skip("files: this kernel has no Landlock")
    assert files[0][0] >= 0 and {result for result, _ in files[1:]} == {-errno.EACCES}, files
    assert os.listdir(tmp_path) == ["mine"]


def test_a_forward_reaches_the_guest(start):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    netd = start(forwards=["%d:80" % port])
    discover(netd)
    outside = socket.socket()
    outside.setblocking(False)
    outside.connect_ex(("127.0.0.1", port))
    syn = netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 6)
    assert struct.unpack(">H", syn[36:38])[0] == 80 and syn[47] == 2
    outside.close()
    assert "error" in netd.ask({"do": "forward", "add": "%d:81" % port})
    at = {"ok": True, "at": "127.0.0.1:%d/tcp" % port}
    assert netd.ask({"do": "forward", "remove": "%d:80" % port}) == at
    assert netd.ask({"do": "forward", "add": "127.0.0.1:%d:81/tcp" % port}) == at


@pytest.mark.parametrize("text", ["", "x", "80", "1:2:3:4", "0:1", "1:0", "70000:1",
                                  "1.2.3:80:80", "80:80/icmp", "9" * 200])
def test_a_wrong_forward_has_a_reason(start, text):
    answer = start().ask({"do": "forward", "add": text})
    assert answer["error"].startswith(text + ": ") and len(answer["error"]) > len(text) + 2


def test_windows_larger_than_64_kib(start):
    if os.environ.get("MICROVM_SLIRP_SCALES", "yes") != "yes":
        pytest.skip("this libslirp has no window scaling: tools/libslirp.sh builds one")
    netd = start()
    host, port, answer = connect(netd, b"\2\4\xff\xc8\1\3\3\7")
    options = answer[20:4 * (answer[12] >> 4)]
    assert options == b"\2\4\xff\xc8\1\3\3\4"
    own = struct.unpack(">I", answer[4:8])[0] + 1
    netd.frames.send(tcp(port, 2, own, 0x10, 4096))  # 512 KiB, scaled
    host.setblocking(False)
    host.send(bytes(1 << 20))
    seen = end = own
    while end - seen < 128 << 10:
        segment = netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 6)
        end = struct.unpack(">I", segment[38:42])[0] + len(segment) - 54
        if end - own < 3 * 65480:  # it starts slowly
            seen = end
            netd.frames.send(tcp(port, 2, seen, 0x10, 4096))
    host.close()


def test_who_asks_for_no_scaling_gets_none_and_his_mss_is_kept(start):
    netd = start()
    host, port, answer = connect(netd, b"\2\4\3\xe8")
    assert answer[20:4 * (answer[12] >> 4)] == b"\2\4\xff\xc8"
    own = struct.unpack(">I", answer[4:8])[0] + 1
    netd.frames.send(tcp(port, 2, own, 0x10, 65535))
    host.sendall(bytes(5000))
    segment = netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 6 and len(f) > 60)
    if os.environ.get("MICROVM_SLIRP_SCALES", "yes") == "yes":
        assert len(segment) == 14 + 40 + 1000
    host.close()


def test_many_senders_lose_nothing(start):
    netd = start()
    hosts = []
    for _ in range(80):
        host, port, answer = connect(netd, b"\2\4\xff\xc8\1\3\3\7")
        own = struct.unpack(">I", answer[4:8])[0] + 1
        netd.frames.send(tcp(port, 2, own, 0x10, 4096))
        hosts.append(host)
    netd.process.send_signal(signal.SIGSTOP)  # so that it finds all of them at once
    for host in hosts:
        host.sendall(bytes(65480))
    netd.process.send_signal(signal.SIGCONT)
    time.sleep(0.3)
    senders = set()
    while len(senders) < len(hosts):
        segment = netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 6 and len(f) > 60)
        senders.add(segment[34:36])
    assert netd.ask({"do": "stats"})["dropped_frames"] == 0
    for host in hosts:
        host.close()


def test_a_policy_resets_what_it_refuses(start):
    netd = start(rules=["allow 9.9.9.9:443"])
    netd.frames.send(tcp_syn("8.8.8.8", 443))
    reset = netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 6)
    assert reset[47] == 0x14 and reset[26:30] == b"\x08\x08\x08\x08"
    netd.frames.send(tcp_syn("10.0.2.2", 22))
    assert netd.receive(lambda f: f[23] == 6)[47] == 0x14
    assert netd.ask({"do": "stats"})["refused_connections"] == 2
    assert "neither an address nor a name" in start(rules=["allow a b"]).opened["error"]


def test_only_the_resolver_answers_for_the_name_server(start):
    """Not whoever sends from port 53 to the socket by which the guest has asked, which is
    known where it is a forward's, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as friend, \
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            friend.bind(("127.0.0.88", 53))
        except OSError as why:
            pytest.skip("no socket on port 53: %s" % why)
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        netd = start(forwards=["127.0.0.1:%d:5000/udp" % port], rules=["allow example.com"])
        discover(netd)
        name = b"\7example\3com\0\0\1\0\1"
        netd.frames.send(udp("10.0.2.15", 5000, "10.0.2.3", 53,
                             struct.pack(">6H", 0x1234, 0x100, 1, 0, 0, 0) + name))
        forged = struct.pack(">6H", 0x1234, 0x8180, 1, 1, 0, 0) + name + \
            b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\6\6\6\6"
        for _ in range(20):
            friend.sendto(forged, ("127.0.0.1", port))
            time.sleep(0.02)
        netd.frames.send(tcp_syn("6.6.6.6", 443))
        answer = netd.receive(lambda f: f[12:14] == b"\x08\0" and (f[23] == 6 or b"\6\6\6\6" in f[42:]))
        assert answer[23] == 6 and answer[47] & 4, "it is open: %r" % answer[42:]


def test_a_place_has_one_forward(start):
    """Also of UDP, where the system would let two have it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    netd = start(forwards=["%d:53/udp" % port])
    assert "in use" in netd.ask({"do": "forward", "add": "%d:54/udp" % port})["error"]
    assert netd.ask({"do": "forward", "remove": "%d:53/udp" % port})["ok"]
    assert netd.ask({"do": "forward", "add": "%d:54/udp" % port})["ok"]


@pytest.mark.parametrize("options", [{}, {"host": False}, {"rules": ["allow 127.0.0.0/8"]}])
def test_the_hosts_loopback_is_not_reached_by_its_own_addresses(start, options):
    """libslirp would take them to connect() and sendto() as they are."""
    netd = start(**options)
    discover(netd)
    with socket.socket() as server, socket.socket(type=socket.SOCK_DGRAM) as taker:
        for s in server, taker:
            s.bind(("127.0.0.1", 0))
            s.settimeout(0.3)
        server.listen()
        for to in "127.0.0.1", "0.0.0.0":
            netd.frames.send(tcp(server.getsockname()[1], 1, 0, 2, 65535, to=to))
            reset = netd.receive(lambda f: f[12:14] == b"\x08\0" and f[23] == 6)
            assert reset[47] == 0x14 and reset[26:30] == socket.inet_aton(to)
            netd.frames.send(udp("10.0.2.15", 5000, to, taker.getsockname()[1], b"x"))
        for call in server.accept, lambda: taker.recv(1):
            with pytest.raises(socket.timeout):
                call()
    assert netd.ask({"do": "stats"})["refused_connections"] == 4


def test_frames_of_every_kind_harm_nobody(start):
    netd = start(rules=["deny 1.2.3.4"])
    good = udp("10.0.2.15", 1000, "10.0.2.2", 1000, b"x" * 100)
    for n in list(range(1, 60)) + [len(good), 1514, 65549, 65553]:
        netd.frames.send((good + bytes(65600))[:n])
        netd.frames.send((tcp_syn("1.2.3.4", 1) + bytes(65600))[:n])
        netd.frames.send(os.urandom(n))
    assert discover(netd)


@pytest.mark.parametrize("line", [b"", b"x", b"{}", b"[]", b'{"do": "open"}',
                                  b'{"do": "dance"}', b'{"do": "forward"}', b"\xff\xfe"])
def test_nonsense_on_the_control_socket_is_answered(start, line):
    netd = start()
    assert "error" in netd.ask(line)
    assert netd.ask({"do": "stats"})["ok"]


def test_it_ends_with_its_machine(start):
    assert start().end() == 0
    netd = start()
    netd.control.close()
    assert netd.process.wait(10) == 0


@pytest.mark.parametrize("forwards", [[], ["127.0.0.1:%d:80" % (20000 + os.getpid() % 20000)]])
def test_idle_it_sleeps(start, forwards):
    """libslirp alone would have it wake once or twice a second."""
    netd = start(forwards=forwards)
    discover(netd)
    time.sleep(0.5)
    before = int(netd.status()["voluntary_ctxt_switches"])
    time.sleep(3)
    assert int(netd.status()["voluntary_ctxt_switches"]) - before <= 1


GUEST6 = socket.inet_pton(socket.AF_INET6, "fec0::5054:ff:fe12:3456")
HOST6 = socket.inet_pton(socket.AF_INET6, "fec0::2")


def ipv6(protocol, payload, hops=64, source=GUEST6, target=HOST6):
    return b"\x52\x56\0\0\0\2" + MAC + b"\x86\xdd" + struct.pack(
        ">IHBB16s16s", 6 << 28, len(payload), protocol, hops, source, target) + payload


def solicitation():
    """Of the host's address, with ours: so that the stack knows where we are."""
    body = struct.pack(">BBHI", 135, 0, 0, 0) + HOST6 + b"\1\1" + MAC
    words = GUEST6 + HOST6 + struct.pack(">II", len(body), 58) + body
    total = sum(struct.unpack(">%dH" % (len(words) // 2), words))
    total = (total & 0xffff) + (total >> 16)
    total = ~((total & 0xffff) + (total >> 16)) & 0xffff
    return ipv6(58, body[:2] + struct.pack(">H", total) + body[4:], 255)


def test_a_forward_on_an_ipv6_address_reaches_the_guests(start):
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    netd = start(forwards=["%d:81" % port])
    at = {"ok": True, "at": "[::1]:%d/tcp" % port}
    assert netd.ask({"do": "forward", "add": "[::1]:%d:80" % port}) == at
    netd.frames.send(solicitation())
    netd.receive(lambda f: f[12:14] == b"\x86\xdd" and f[20] == 58 and f[54] == 136)
    with socket.socket(socket.AF_INET6) as outside:
        outside.setblocking(False)
        outside.connect_ex(("::1", port))
        syn = netd.receive(lambda f: f[12:14] == b"\x86\xdd" and f[20] == 6)
        assert syn[22:38] == HOST6 and syn[38:54] == GUEST6
        assert struct.unpack(">H", syn[56:58])[0] == 80 and syn[67] == 2
    assert netd.ask({"do": "forward", "remove": "[0:0::1]:%d:80" % port}) == at
    refused = start(ipv6=False).ask({"do": "forward", "add": "[::1]:%d:80" % port})
    assert "ipv6=off" in refused["error"]


FAKE_SLIRP = """%sName: slirp
Description: what meson asks and no more
Version: %s
Libs:
Cflags:
"""


@pytest.mark.parametrize("version, says, words, builds", [
    ("4.8.0", "", ["-Dnetd=enabled"], None),
    ("4.8.0", "", [], False),
    ("4.8.0", "", ["-Dslirp_unpatched=true"], True),
    ("4.8.0", "cve_2026_9539=fixed\n", [], True),
    ("4.9.2", "", [], True),
])
def test_it_is_not_built_on_a_libslirp_without_the_fix(tmp_path, version, says, words, builds):
    """CVE-2026-9539: an error where netd was asked for, else a warning and no netd; unless
    the one who builds it says otherwise, or libslirp has the fix."""
    if not shutil.which("meson") or not os.environ.get("MICROVM_NETD"):
        pytest.skip("meson is not installed, or microvm-netd not built")
    (tmp_path / "slirp.pc").write_text(FAKE_SLIRP % (says, version))
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    r = subprocess.run(
        ["meson", "setup", str(tmp_path / "build"), source, "--pkg-config-path", str(tmp_path),
         "-Dcli=disabled", "-Dimage=disabled", "-Dexamples=disabled", "-Dtests=disabled",
         *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=120)
    said = r.stdout.decode()
    refused = "libslirp %s may lack the fix for CVE-2026-9539" % version in said
    assert (refused, r.returncode == 0) == (not builds, builds is not None), said
    if refused:
        assert "tools/libslirp.sh" in said and "-Dslirp_unpatched=true" in said, said
    if r.returncode == 0:
        targets = (tmp_path / "build" / "build.ninja").read_text()
        assert ("build netd/microvm-netd:" in targets) == builds
    else:
        assert "ERROR" in said, said
