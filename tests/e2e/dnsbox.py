# SPDX-License-Identifier: MIT OR Apache-2.0
"""A computer's network and resolver that a test may have to itself: runs a command in
namespaces where /etc is a copy, 127.0.0.1 and 127.0.0.2 are DNS servers that disagree, and
port 8000 of every address serves HTTP. Addresses for documentation (RFC 5737) stand for the
internet's. Nobody ever hears of the name deaf.test, nor of a connection to port 8001.

    unshare -mn python3 dnsbox.py FOLDER COMMAND...

    GET /            who is asked: "from ADDRESS"
    GET /rewrite     /etc/resolv.conf names the second server from now on, in the same file
    GET /replace     the same, by a new file of that name
"""
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading

OUTSIDE = {"www.example.com": "203.0.113.10", "cdn.test": "203.0.113.11",
           "evil.test": "198.51.100.20"}
ZONE = {
    "www.example.com": [("A", OUTSIDE["www.example.com"])],
    "alias.example.com": [("CNAME", "cdn.test"), ("A", OUTSIDE["cdn.test"])],
    "evil.test": [("A", OUTSIDE["evil.test"])],
    "inside.example.com": [("A", "10.1.2.3")],
    "self.example.com": [("A", "127.0.0.1")],
    "both.example.com": [("A", OUTSIDE["www.example.com"]), ("A", "192.168.1.1")],
    "chain.example.com": [("CNAME", "inside.test"), ("A", "10.0.2.2")],
}


def name_bytes(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.split(".")) + b"\0"


def question(message):
    at, parts = 12, []
    while message[at]:
        parts.append(message[at + 1:at + 1 + message[at]].decode())
        at += 1 + message[at]
    return ".".join(parts).lower(), message[12:at + 5], struct.unpack(
        ">H", message[at + 1:at + 3])[0]


def answer(message, server):
    name, raw, kind = question(message)
    records = ZONE.get(name, [])
    if name == "which.test":
        records = [("A", "192.0.2.%d" % server)]
    body, owner, count = b"", name_bytes(name), 0
    for what, value in records if kind == 1 else []:
        data = socket.inet_aton(value) if what == "A" else name_bytes(value)
        body += owner + struct.pack(">HHIH", 1 if what == "A" else 5, 1, 60, len(data)) + data
        owner = data if what == "CNAME" else owner
        count += 1
    return message[:2] + struct.pack(">HHHHH", 0x8180 | (0 if records else 3), 1, count, 0,
                                     0) + raw + body


def serve_dns(server):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.%d" % server, 53))
    while True:
        message, peer = s.recvfrom(4096)
        if question(message)[0] == "deaf.test":
            continue
        s.sendto(answer(message, server), peer)


def resolver(server, path="/etc/resolv.conf"):
    with open(path, "w") as f:
        f.write("nameserver 127.0.0.%d\n" % server)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/rewrite":
            resolver(2)
        elif self.path == "/replace":
            resolver(2, "/etc/resolv.conf.new")
            os.rename("/etc/resolv.conf.new", "/etc/resolv.conf")
        body = ("from %s\n" % self.connection.getsockname()[0]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


def deaf(port):
    """A listener whose queue is full: what comes waits. Kept by who holds these sockets."""
    listener = socket.socket()
    listener.bind(("0.0.0.0", port))
    listener.listen(0)
    callers = [socket.socket() for _ in range(4)]
    for s in callers:
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
    return [listener] + callers


def main():
    folder, command = sys.argv[1], sys.argv[2:]
    copy = os.path.join(folder, "etc")
    os.mkdir(copy)
    for name in "passwd", "nsswitch.conf":
        if os.path.exists("/etc/" + name):
            subprocess.run(["cp", "/etc/" + name, copy], check=True)
    subprocess.run("mount --make-rprivate / && mount --bind %s /etc && ip link set lo up"
                   % copy, shell=True, check=True)
    for address in OUTSIDE.values():
        subprocess.run(["ip", "addr", "add", address + "/32", "dev", "lo"], check=True)
    resolver(1)
    for server in 1, 2:
        threading.Thread(target=serve_dns, args=(server,), daemon=True).start()
    held = deaf(8001)
    web = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    status = subprocess.run(command).returncode
    del held
    sys.exit(status)


main()
