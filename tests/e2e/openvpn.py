# SPDX-License-Identifier: MIT OR Apache-2.0
"""A real OpenVPN server for tests, and a place from which it is reached: two network
namespaces with a cable between them, made and removed here, so that nothing of this
computer's network changes.

    near   10.99.0.2, no other route: where the client runs (Vpn.run, Vpn.near)
    far    10.99.0.1, 198.51.100.1: the server; behind it, for nobody but clients of the VPN (10.8.0.0/24),
           10.77.7.1: HTTP on port 80 ("from ADDRESS"), a name server that knows hidden.vpn.test, and the ports
           ECHO, SINK (takes all, says its SHA-256) and SOURCE (is told "SEED COUNT", gives bytes_of them)

Certificates are made by openssl. Needs root, ip, openssl, openvpn, /dev/net/tun: usable()
says what is missing. As a program it is the hidden host (`openvpn.py hidden SERVER`), or a wire
that loses datagrams (`openvpn.py wire PORT TO:PORT PERCENT`), or somebody who reads along
(`openvpn.py watch INTERFACE SERVER`)."""
import contextlib
import hashlib
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

NEAR, FAR, HIDDEN, PORT = "10.99.0.2", "10.99.0.1", "10.77.7.1", 1194
NEAR6, FAR6 = "fd99::2", "fd99::1"
BEYOND = "198.51.100.1"  # the server, where near has a gateway: behind that
NAME, SERVER = "hidden.vpn.test", "server.vpn.test"
ECHO, SINK, SOURCE = 7, 9, 19
USER, PASSWORD, PIN = "ann", "se\"cr\\et", "43 21"
URL = "https://sso.example.com/login?id=%d"

# Who may come in. Each is a shell script that finds $user, $password and a $folder to
# talk to the test in, and is run by the server (auth-user-pass-verify, via-file).
AUTH = {
    "password": '[ "$user" = ann ] && [ "$password" = %(password)s ]',
    # A dynamic challenge (management-notes.txt, "Challenge/Response Protocol").
    "crv1": 'if [ "$password" = "CRV1::st7::%(pin)s" ]; then exit 0; fi\n'
            'if [ "$password" = %(password)s ]; then\n'
            '  printf "CRV1:R,E:st7:%%s:Your PIN, please" "$(printf %%s "$user" | base64)" >"$auth_failed_reason_file"\n'
            'fi\nexit 1',
    "static": '[ "$password" = "SCRV1:$(printf %%s %(password)s | base64):$(printf %%s "%(pin)s" | base64)" ]',
    "webauth": 'printf "60\\nwebauth\\nWEB_AUTH::%(url)s\\n" >"$auth_pending_file"\n'
               'printf %%s "$auth_control_file" >$folder/new; mv $folder/new $folder/pending; exit 2',
    "openurl": 'printf "60\\nopenurl\\nOPEN_URL:%(url)s\\n" >"$auth_pending_file"\n'
               'printf %%s "$auth_control_file" >$folder/new; mv $folder/new $folder/pending; exit 2',
    "crtext": 'printf "60\\ncrtext\\nCR_TEXT:R,E:The code from your phone\\n" >"$auth_pending_file"; exit 2',
}
CR_RESPONSE = '[ "$(base64 -d "$1")" = "%(pin)s" ] && printf 1 >"$auth_control_file" || printf 0 >"$auth_control_file"'


def usable(programs=("ip", "openssl", "openvpn")):
    """What is missing here, or ''."""
    if os.geteuid() != 0:
        return "it needs root, for network namespaces"
    for program in programs:
        if not shutil.which(program):
            return "%s is not installed (tools/deps.sh test)" % program
    if not os.path.exists("/dev/net/tun"):
        return "there is no /dev/net/tun"
    name = "mvtry%d" % os.getpid()
    r = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.PIPE)
    if r.returncode:
        return "no network namespace: " + r.stderr.decode().strip()
    r = subprocess.run(["ip", "-n", name, "tuntap", "add", "mode", "tun", "try0"], stderr=subprocess.PIPE)
    subprocess.run(["ip", "netns", "del", name], check=True)
    return "no tun in a namespace: " + r.stderr.decode().strip() if r.returncode else ""


def certificates(folder):
    """ca, server and client: NAME.crt and NAME.key in folder."""
    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-days", "30", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")
    for name in ("server", "client"):
        with open(os.path.join(folder, name + ".ext"), "w") as f:
            f.write("extendedKeyUsage=%sAuth\nkeyUsage=digitalSignature\n" % name)
        openssl("req", *key, "-subj", "/CN=" + name, "-keyout", name + ".key", "-out", name + ".csr")
        openssl("x509", "-req", "-in", name + ".csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", "30", "-extfile", name + ".ext", "-out", name + ".crt")


class Vpn:
    """The two namespaces, and a server in the far one.

    auth: None (a certificate is enough) or a key of AUTH; push, server, client: more
    lines for what is pushed, the server's and the client's configuration; gateway: near has
    a default route to far, as a computer in the internet has one; names: near asks far for
    names, which knows server.vpn.test."""

    def __init__(self, folder, auth=None, proto="udp", push=(), server=(), client=(), gateway=False, names=False):
        self.folder, self.auth, self.proto = str(folder), auth, proto
        self.push, self.server_lines, self.client_lines = list(push), list(server), list(client)
        self.address = BEYOND if gateway else FAR
        name = "%d-%x" % (os.getpid(), random.getrandbits(16))  # a test may have two
        self.near, self.far = "mvnear" + name, "mvfar" + name
        self.process = None
        self.others = []
        self.clean = contextlib.ExitStack()
        try:
            if names:
                self._resolver()
            self._wire(gateway)
            self._hidden()
            self._configure()
            self.start()
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _wire(self, gateway):
        for name in (self.near, self.far):
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.clean.callback(subprocess.run, ["ip", "netns", "del", name])
            self.ip(name, "link", "set", "lo", "up")
        self.ip(self.near, "link", "add", "wire0", "type", "veth", "peer", "name", "wire0", "netns", self.far)
        for name, address, address6 in ((self.near, NEAR, NEAR6), (self.far, FAR, FAR6)):
            self.ip(name, "addr", "add", address + "/24", "dev", "wire0")
            self.ip(name, "addr", "add", address6 + "/64", "dev", "wire0", "nodad")
            self.ip(name, "link", "set", "wire0", "addrgenmode", "none")  # no address comes later by itself
            self.ip(name, "link", "set", "wire0", "up")
        self.ip(self.far, "addr", "add", HIDDEN + "/32", "dev", "lo")
        if gateway:
            self.ip(self.far, "addr", "add", BEYOND + "/32", "dev", "lo")
            self.ip(self.near, "route", "add", "default", "via", FAR)
            self.ip(self.near, "-6", "route", "add", "default", "via", FAR6)

    def _resolver(self):
        """What `ip netns exec` shows as /etc/resolv.conf."""
        folder = "/etc/netns/" + self.near
        os.makedirs(folder)
        self.clean.callback(shutil.rmtree, folder)
        with open(folder + "/resolv.conf", "w") as f:
            f.write("nameserver %s\n" % FAR)

    def _hidden(self):
        p = self.run(sys.executable, __file__, "hidden", self.address, where=self.far, stdout=subprocess.PIPE)
        self.others.append(p)
        if p.stdout.readline() != b"up\n":
            raise AssertionError("the hidden host does not start")

    def _script(self, name, text):
        path = os.path.join(self.folder, name)
        values = {"password": "'%s'" % PASSWORD, "pin": PIN, "url": URL % 1}
        with open(path, "w") as f:
            f.write("#!/bin/sh\nfolder='%s'\n" % self.folder + text % values + "\n")
        os.chmod(path, 0o755)
        return path

    def _configure(self):
        certificates(self.folder)
        at = lambda name: os.path.join(self.folder, name)
        # The tunnel is found dead 4 s after the last sign of life.
        lines = ["dev tun0", "proto " + self.proto, "local " + self.address, "port %d" % PORT, "server 10.8.0.0 255.255.255.0",
                 "topology subnet", "keepalive 1 4", "ca " + at("ca.crt"), "cert " + at("server.crt"),
                 "key " + at("server.key"), "dh none", "verb 3", "log-append " + at("server.log"),
                 "tmp-dir " + self.folder, "writepid " + at("server.pid"), "reneg-sec 0", "hand-window 20",
                 'push "route 10.77.7.0 255.255.255.0"', 'push "dhcp-option DNS %s"' % HIDDEN,
                 'push "dhcp-option DOMAIN vpn.test"']
        if self.auth:
            script = self._script("auth.sh", '{ IFS= read -r user; IFS= read -r password; } <"$1"\n' + AUTH[self.auth])
            lines += ["script-security 2", "auth-user-pass-verify %s via-file" % script]
        if self.auth == "crtext":
            lines += ["client-crresponse " + self._script("crresponse.sh", CR_RESPONSE)]
        lines += ['push "%s"' % p for p in self.push] + self.server_lines
        with open(at("server.conf"), "w") as f:
            f.write("\n".join(lines) + "\n")

    # -- what tests do with it --

    def ip(self, name, *words):
        subprocess.run(["ip", "-n", name, *words], check=True)

    def run(self, *words, where=None, **kw):
        """A process in a namespace, the near one unless said otherwise."""
        return subprocess.Popen(["ip", "netns", "exec", where or self.near, *words], **kw)

    def start(self):
        """Starts the server, and waits until it serves."""
        done = self.log().count("Initialization Sequence Completed")
        self.process = self.run("openvpn", "--config", os.path.join(self.folder, "server.conf"), where=self.far,
                                stdout=subprocess.DEVNULL)
        for _ in range(500):
            if self.log().count("Initialization Sequence Completed") > done:
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError("the server does not start:\n" + self.log())

    def stop(self, how=signal.SIGTERM):
        if self.process:
            self.process.send_signal(how)
            self.process.wait(20)
            self.process = None

    def log(self):
        try:
            with open(os.path.join(self.folder, "server.log")) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def pending(self, timeout=15):
        """The file where "1" or "0" says how the web authentication ended."""
        until = time.time() + timeout
        path = os.path.join(self.folder, "pending")
        while time.time() < until:
            if os.path.exists(path):
                with open(path) as f:
                    control = f.read()
                os.remove(path)
                return control
            time.sleep(0.02)
        raise AssertionError("nobody came to authenticate:\n" + self.log())

    def authenticate(self, well=True):
        with open(self.pending(), "w") as f:
            f.write("1" if well else "0")

    def lossy(self, percent, port=1195):
        """A way to the server that loses so many of a hundred datagrams; its port on near's 127.0.0.1."""
        p = self.run(sys.executable, __file__, "wire", str(port), "%s:%d" % (self.address, PORT), str(percent),
                     stdout=subprocess.PIPE)
        self.others.append(p)
        if p.stdout.readline() != b"up\n":
            raise AssertionError("the wire does not start")
        return port

    def netem(self, percent):
        """The cable loses so many of a hundred packets each way (tc-netem(8)); False where the kernel cannot do that."""
        if not shutil.which("tc"):
            return False
        subprocess.run(["modprobe", "-q", "sch_netem"], check=False)
        return all(subprocess.run(["tc", "-n", name, "qdisc", "add", "dev", "wire0", "root", "netem", "loss", "%d%%" % percent],
                                  stderr=subprocess.DEVNULL).returncode == 0 for name in (self.near, self.far))

    def watch(self):
        """Whoever reads along on the cable: what it returns gives the packets of IP that came from
        near and were not the VPN's own, and forgets them."""
        p = self.run(sys.executable, __file__, "watch", "wire0", self.address, where=self.far, stdin=subprocess.PIPE,
                     stdout=subprocess.PIPE)
        self.others.append(p)
        if p.stdout.readline() != b"up\n":
            raise AssertionError("nobody reads along")

        def seen():
            time.sleep(0.3)  # for neighbours to be found
            p.stdin.write(b"?\n")
            p.stdin.flush()
            return p.stdout.readline().decode().split()
        return seen

    def profile(self, remote=None, *lines):
        """A client's configuration with everything in it."""
        def inline(tag, name):
            with open(os.path.join(self.folder, name)) as f:
                return "<%s>\n%s</%s>" % (tag, f.read(), tag)
        text = ["client", "dev tun", "proto " + self.proto, "remote %s" % (remote or "%s %d" % (self.address, PORT)), "nobind",
                "remote-cert-tls server", "verb 3"]
        text += ["auth-user-pass"] if self.auth else []
        text += ['static-challenge "Your PIN, please" 1'] if self.auth == "static" else []
        text += self.client_lines + list(lines)
        return "\n".join(text + [inline("ca", "ca.crt"), inline("cert", "client.crt"), inline("key", "client.key")]) + "\n"

    def fetch(self, host=HIDDEN, timeout=10):
        """What the hidden host says over HTTP to somebody in near; None: no way there."""
        p = self.run("curl", "-s", "--max-time", str(timeout), "http://%s/" % host, stdout=subprocess.PIPE)
        out = p.communicate(timeout=timeout + 10)[0]
        return out.decode() if p.returncode == 0 else None

    def close(self):
        for p in self.others:
            p.kill()
            p.wait()
        self.others = []
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        if self.process:
            self.stop(signal.SIGKILL)
        self.clean.close()


# ---- the hidden host ----


def answer_name(message, zone):
    """A reply to a DNS question of one name (RFC 1035, 4)."""
    end = message.index(0, 12)
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1:at + 1 + message[at]].decode("ascii", "replace").lower())
        at += 1 + message[at]
    address = zone.get(".".join(labels))
    wanted = address and message[end + 1:end + 3] == b"\0\1"
    head = message[:2] + bytes([0x85, 0x80 if address else 0x83, 0, 1, 0, int(bool(wanted)), 0, 0, 0, 0])
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address) if wanted else b""
    return head + message[12:end + 5] + record


def bytes_of(seed, count):
    """So many MiB, the same for the same seed."""
    piece = random.Random(seed).randbytes(1 << 20)
    for i in range(count):
        yield piece[i % 251:] + piece[:i % 251]


def echo(s):
    while data := s.recv(65536):
        s.sendall(data)


def sink(s):
    digest = hashlib.sha256()
    while data := s.recv(1 << 18):
        digest.update(data)
    s.sendall(digest.hexdigest().encode())


def source(s):
    seed, count = s.makefile("rb").readline().split()
    for piece in bytes_of(int(seed), int(count)):
        s.sendall(piece)


def serve(port, handle):
    """A thread for each who comes."""
    listener = socket.create_server((HIDDEN, port), backlog=512)

    def handle_one(s):
        with s, contextlib.suppress(OSError):
            handle(s)

    def accept():
        while True:
            threading.Thread(target=handle_one, args=listener.accept()[:1], daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def hidden(server):
    import http.server
    zone = {NAME: HIDDEN, SERVER: server}

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            body = b"from %s\n" % self.client_address[0].encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass
    names = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    names[0].bind((HIDDEN, 53))
    names[1].bind((FAR, 53))
    for port, handle in ((ECHO, echo), (SINK, sink), (SOURCE, source)):
        serve(port, handle)
    web = http.server.ThreadingHTTPServer((HIDDEN, 80), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    print("up", flush=True)
    while True:
        for s in select.select(names, [], [])[0]:
            message, who = s.recvfrom(2048)
            with contextlib.suppress(ValueError, IndexError):
                s.sendto(answer_name(message, zone), who)


def wire(port, to, percent):
    """Datagrams of one client to `to` and back, without `percent` of a hundred."""
    host, _, to_port = to.rpartition(":")
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    here.bind(("127.0.0.1", int(port)))
    there = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    there.connect((host, int(to_port)))
    chance, client = random.Random(7), None
    print("up", flush=True)
    while True:
        for s in select.select([here, there], [], [])[0]:
            with contextlib.suppress(ConnectionError):
                data, who = s.recvfrom(65536)
                if chance.random() * 100 < float(percent):
                    continue
                if s is here:
                    client = who
                    there.send(data)
                elif client:
                    here.sendto(data, client)


def watch(interface, server):
    """A line for each line of standard input: PROTOCOL:ADDRESS:PORT of what came since."""
    s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3))
    s.bind((interface, 0))
    print("up", flush=True)
    found = []
    while True:
        for f in select.select([s, sys.stdin], [], [])[0]:
            if f is sys.stdin:
                if not sys.stdin.readline():
                    return
                print(*found, flush=True)
                found = []
                continue
            packet, (_, kind, direction, _, _) = s.recvfrom(2048)
            if direction == socket.PACKET_OUTGOING or kind not in (0x800, 0x86dd):
                continue
            if kind == 0x86dd:  # neighbours may look for each other
                if packet[6] != 58 and packet[6] != 0:
                    found.append("ip6:%d:%s" % (packet[6], socket.inet_ntop(socket.AF_INET6, packet[24:40])))
                continue
            at = 4 * (packet[0] & 15)
            what = "%d:%s:%d" % (packet[9], socket.inet_ntoa(packet[16:20]), int.from_bytes(packet[at + 2:at + 4], "big"))
            if what != "17:%s:%d" % (server, PORT):
                found.append(what)


if __name__ == "__main__":
    {"hidden": hidden, "wire": wire, "watch": watch}[sys.argv[1]](*sys.argv[2:])
