# SPDX-License-Identifier: MIT OR Apache-2.0
"""Networks of other people's programs behind unixstream, unixgram and descriptors, and ours
for a user without privileges."""
import hashlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

import pytest

from netguest import Server, free_port

NOBODY = 65534


def wait_for_sockets(process, *paths):
    end = time.monotonic() + 20
    while not all(os.path.exists(p) for p in paths):
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)


class Qemu:
    """QEMU as a switch: a machine without a processor, whose hub joins networks."""

    def __init__(self, *netdevs):
        program = shutil.which("qemu-system-x86_64")
        if not program:
            pytest.skip("qemu-system-x86_64 is not installed: tools/deps.sh test")
        words = [program, "-M", "none", "-nodefaults", "-nographic", "-monitor", "none"]
        for n, netdev in enumerate(netdevs):
            words += ["-netdev", netdev.replace("stream", "stream,id=n%d" % n, 1)
                      if netdev.startswith("stream") else netdev + ",id=n%d" % n,
                      "-netdev", "hubport,hubid=0,id=h%d,netdev=n%d" % (n, n)]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def end(self):
        self.process.kill()
        self.process.communicate()


def stream(path):
    return "stream,server=on,addr.type=unix,addr.path=%s" % path


def answering(text):
    def serve(s):
        s.recv(1000)
        s.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + text)

    return Server(serve)


def test_qemus_user_network_behind_its_stream(guest_net, tmp_path):
    """DHCP and TCP by QEMU's own libslirp, frames by our unixstream."""
    path = str(tmp_path / "s")
    qemu = Qemu(stream(path), "user")
    server = answering(b"by way of qemu\n")
    try:
        wait_for_sockets(qemu.process, path)
        out = guest_net("--net", "unixstream=" + path,
                        do="wget -q -O - http://10.0.2.2:%d/" % server.port)
    finally:
        qemu.end()
        server.close()
    assert "mtu 1500" in out and "by way of qemu" in out


def test_two_machines_on_a_hub_of_qemus(guest_net, tmp_path):
    paths = [str(tmp_path / n) for n in "ab"]
    qemu = Qemu(*map(stream, paths))
    try:
        wait_for_sockets(qemu.process, *paths)
        web = guest_net.start("--net", "unixstream=" + paths[0], udhcpc=False, do="""
dd if=/dev/zero of=/x bs=64k count=64 2>/dev/null; httpd -p 80 -h /
ifconfig eth0 10.9.9.1 netmask 255.255.255.0; sleep 60""")  # who answers a ping has a server
        out = guest_net("--net", "unixstream=" + paths[1], udhcpc=False, do="""
ifconfig eth0 10.9.9.2 netmask 255.255.255.0
n=0; until ping -c 1 10.9.9.1 >/dev/null; do n=$((n+1)); [ $n -lt 50 ] || break; done
wget -q -O - http://10.9.9.1/x | md5sum; cat /sys/class/net/eth0/address""")
        web.kill()
        web.communicate()
    finally:
        qemu.end()
    assert "b5cfa9d6c8febd618f91ac2843d50a1c" in out, out  # 4 MiB of zeros


def test_a_peer_that_goes_pulls_the_cable_and_is_told(guest_net, tmp_path):
    path = str(tmp_path / "s")
    qemu = Qemu(stream(path), "user")
    try:
        wait_for_sockets(qemu.process, path)
        p = guest_net.start("--net", "unixstream=" + path,
                            do="sleep 5; echo carrier $(cat /sys/class/net/eth0/carrier)")
        time.sleep(2.5)
    finally:
        qemu.end()
    out, err = p.communicate(timeout=60)
    assert b"carrier 0" in out and b"the peer is gone" in err, (out, err)


def dgram(local, remote):
    return "dgram,local.type=unix,local.path=%s,remote.type=unix,remote.path=%s" % (
        local, remote)


def test_qemus_user_network_behind_datagrams(guest_net, tmp_path):
    """DHCP and TCP, a frame in each datagram: by a descriptor, fd=N."""
    ours, qemus = str(tmp_path / "ours"), str(tmp_path / "qemus")
    server = answering(bytes(300000) + b"by way of datagrams\n")
    qemu = Qemu(dgram(qemus, ours), "user")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(ours)
        try:
            wait_for_sockets(qemu.process, qemus)
            s.connect(qemus)
            out = guest_net("--net", "fd=%d" % s.fileno(), fds=[s.fileno()],
                            do="wget -q -O - http://10.0.2.2:%d/ | md5sum" % server.port)
        finally:
            qemu.end()
            server.close()
    digest = hashlib.md5(bytes(300000) + b"by way of datagrams\n").hexdigest()
    assert "mtu 1500" in out and digest in out, out


def test_a_server_of_datagrams(guest_net, tmp_path):
    """unixgram=PATH: what listens there is this test, which passes every frame on to QEMU,
    whose own datagrams go to one fixed name; no program of Debian's answers its clients."""
    ours, qemus = str(tmp_path / "ours"), str(tmp_path / "qemus")
    server = answering(bytes(300000) + b"by way of datagrams\n")
    qemu = Qemu(dgram(qemus, ours), "user")
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(ours)
    passed = {"out": 0, "in": 0}

    def relay():
        guest = None
        while True:
            frame, sender = s.recvfrom(70000)
            if not frame:
                return
            if sender == qemus:
                passed["in"] += 1
                s.sendto(frame, guest)
            else:
                passed["out"] += 1
                guest = sender
                s.sendto(frame, qemus)

    thread = threading.Thread(target=relay, daemon=True)
    try:
        wait_for_sockets(qemu.process, qemus)
        thread.start()
        out = guest_net("--net", "unixgram=" + ours,
                        do="wget -q -O - http://10.0.2.2:%d/ | md5sum" % server.port)
    finally:
        qemu.end()
        server.close()
        s.shutdown(socket.SHUT_RD)
        thread.join(10)
        s.close()
    digest = hashlib.md5(bytes(300000) + b"by way of datagrams\n").hexdigest()
    assert digest in out and passed["in"] > 200 and passed["out"] > 20, (out, passed)


# Opens a tap in the network where it runs, as a launcher would, with the host at 10.7.7.1
# behind it, and becomes the command that follows, with the tap as its descriptor 9.
LAUNCHER = """
import fcntl, os, struct, subprocess, sys
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, TUNSETIFF = 2, 0x1000, 0x4000, 0x400454ca
fd = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(fd, TUNSETIFF,
            struct.pack("16sH22x", b"mvt0", IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
for words in ("addr add 10.7.7.1/24 dev mvt0", "link set mvt0 up", "link set lo up"):
    subprocess.run(["ip"] + words.split(), check=True)
httpd = subprocess.Popen(["busybox", "httpd", "-f", "-p", "80", "-h", sys.argv[1]])
os.dup2(fd, 9)
status = subprocess.run(sys.argv[2:], pass_fds=[9]).returncode
httpd.kill()
sys.exit(status)
"""


def test_a_tap_that_a_launcher_opened(guest_net, tmp_path):
    """fd=N of a tap: pings, and 16 MiB by TCP with its offloads."""
    if subprocess.run(["unshare", "-n", "test", "-w", "/dev/net/tun"],
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip("no network namespace with a tap can be had here")
    data = os.urandom(1 << 20) * 16
    (tmp_path / "blob").write_bytes(data)
    out = guest_net("--net", "fd=9", udhcpc=False, do="""
ifconfig eth0 10.7.7.2 netmask 255.255.255.0
n=0; until ping -c 1 10.7.7.1 >/dev/null; do n=$((n+1)); [ $n -lt 50 ] || break; done
ping -c 3 10.7.7.1 | grep loss; wget -q -O - http://10.7.7.1/blob | sha256sum""",
                    before=["unshare", "-n", sys.executable, "-c", LAUNCHER, str(tmp_path)])
    assert "3 packets transmitted, 3 packets received" in out, out
    assert hashlib.sha256(data).hexdigest() in out, out


def may_use_kvm(become):
    return subprocess.run(become + ["test", "-r", "/dev/kvm", "-a", "-w", "/dev/kvm"],
                          stderr=subprocess.DEVNULL).returncode == 0


@pytest.fixture
def as_nobody(guest_net, tmp_path):
    """Everything that a machine is made of, where a user without privileges may read it;
    the words that make one of us. Nothing of root's is left."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("only root can become a user without privileges")
    folder = tempfile.mkdtemp(prefix="microvm-nobody-")
    os.chmod(folder, 0o755)
    become = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
              "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"]
    if not may_use_kvm(become):
        # A device file that everybody may use, in a place that only the test sees.
        node = os.path.join(folder, "kvm")
        os.mknod(node, stat.S_IFCHR | 0o666, os.stat("/dev/kvm").st_rdev)
        os.chmod(node, 0o666)
        become = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /dev/kvm && exec "$@"',
                  node] + become
        if not may_use_kvm(become):
            shutil.rmtree(folder)
            pytest.skip("/dev/kvm is root's alone here, and cannot be lent")
    files = {}
    for name, path in (("microvm", guest_net.kvm.path), ("netd", guest_net.netd),
                       ("kernel", guest_net.kernel)):
        files[path] = shutil.copy(path, os.path.join(folder, name))
    yield folder, files, become
    shutil.rmtree(folder)


def test_a_user_without_privileges_has_network(guest_net, as_nobody):
    """Out by the gateway, DHCP, a policy, and a forward in; the helper is as little."""
    folder, files, become = as_nobody
    server, port = answering(b"from the host\n"), free_port()
    words = guest_net.words("--net", "user", "-p", "%d:80" % port, "--deny", "192.0.2.1",
                            "--allow", "10.0.2.2", do="""
wget -q -O - http://10.0.2.2:%d/; echo here >/x; httpd -p 80 -h /; sleep 30""" % server.port)
    words = [files.get(w, w) for w in words]
    at = words.index("--initrd") + 1
    words[at] = shutil.copy(words[at], os.path.join(folder, "initrd"))
    p = subprocess.Popen(become + words, cwd="/", stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         env={"PATH": os.environ["PATH"]})
    said, end = b"", time.monotonic() + 30
    while b"here" not in said and time.monotonic() < end and p.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), 3) as s:
                s.settimeout(3)
                s.sendall(b"GET /x HTTP/1.0\r\n\r\n")
                said = b"".join(iter(lambda: s.recv(1000), b""))
        except OSError:
            time.sleep(0.2)
    netd = subprocess.run(["pgrep", "-P", str(p.pid)], stdout=subprocess.PIPE).stdout.split()
    status = open("/proc/%d/status" % int(netd[0])).read() if netd else ""
    p.kill()
    out, err = p.communicate()
    server.close()
    assert b"here" in said and b"from the host" in out, (said, out, err)
    assert "CapEff:\t0000000000000000" in status and "Uid:\t%d\t" % NOBODY in status


def test_an_application_is_the_network(guest_net):
    """The backing `callback`: examples/frames.c answers a Linux guest's ARP and pings, of
    every size that needs no fragments."""
    program = os.path.join(os.path.dirname(guest_net.kvm.path), "..", "examples", "frames")
    if not os.path.exists(program):
        pytest.skip("the examples are not built")
    words = guest_net.words(udhcpc=False, do="""
ifconfig eth0 10.0.0.2 netmask 255.255.255.0 up
for n in 0 56 1400 1472; do ping -c 2 -s $n 10.0.0.1 | grep loss; done
ping -c 1 -w 2 10.0.0.9 | grep loss""")
    r = subprocess.run([program, words[words.index("-k") + 1],
                        words[words.index("--initrd") + 1]], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    out = r.stdout.decode().replace("\r", "")
    assert r.returncode == 0 and r.stderr == b"", (out, r.stderr)
    assert out.count("2 packets transmitted, 2 packets received, 0% packet loss") == 4, out
    assert "100% packet loss" in out and out.rstrip().split("\n")[-2:][0].startswith("END")
