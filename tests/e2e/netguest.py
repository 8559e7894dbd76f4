# SPDX-License-Identifier: MIT OR Apache-2.0
"""A Linux guest on the user network: busybox, DHCP, and a script of the test's."""
import os
import re
import shutil
import socket
import subprocess
import threading

import pytest

INIT = r"""#!/bin/busybox sh
/bin/busybox --install -s /bin
mkdir -p /dev /proc /sys /tmp
mount -t devtmpfs none /dev; mount -t proc none /proc; mount -t sysfs none /sys
ifconfig lo 127.0.0.1; ifconfig eth0 up
[ -e /no-dhcp ] || udhcpc -i eth0 -q -n -t 10 >/dev/null 2>&1
echo mtu $(cat /sys/class/net/eth0/mtu)
. /do
echo END; exec reboot -f
"""
LEASE = """#!/bin/busybox sh
[ "$1" = bound ] || exit 0
ifconfig $interface $ip netmask $subnet; route add default gw $router
echo nameserver $dns > /etc/resolv.conf
"""


def archive(root, path):
    with open(path, "wb") as f:
        subprocess.run("find . | cpio -o -H newc", shell=True, cwd=root, stdout=f, check=True,
                       stderr=subprocess.DEVNULL)


def add_program(root, name):
    """A program of this computer, with the libraries that it needs."""
    path = shutil.which(name)
    if not path:
        pytest.skip("%s is not installed: tools/deps.sh test" % name)
    needs = subprocess.run(["ldd", path], stdout=subprocess.PIPE).stdout.decode()
    for file in [path] + re.findall(r"(?:=> |^\s*)(/\S+) \(0x", needs, re.M):
        target = root / (file[1:] if file != path else "bin/" + name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(file, target)


class NetGuest:
    """Runs a script in a guest. `programs` of this computer are in it, too."""

    def __init__(self, kvm, folder, kernel, netd):
        self.kvm, self.folder, self.kernel, self.netd = kvm, folder, kernel, netd
        self.count = 0

    def base(self, programs):
        path = self.folder / ("base-%s.cpio" % "-".join(programs))
        if not path.exists():
            root = self.folder / ("root-%s" % "-".join(programs))
            (root / "bin").mkdir(parents=True)
            (root / "etc/udhcpc").mkdir(parents=True)
            shutil.copy("/usr/bin/busybox", root / "bin/busybox")
            for name in programs:
                add_program(root, name)
            for name, text in ("init", INIT), ("etc/udhcpc/default.script", LEASE):
                (root / name).write_text(text)
                (root / name).chmod(0o755)
            archive(root, path)
        return path.read_bytes()

    def words(self, *args, do=":", programs=(), timeout="60s", udhcpc=True):
        self.count += 1
        root = self.folder / ("do-%d" % self.count)
        root.mkdir()
        (root / "do").write_text(do + "\n")
        if not udhcpc:
            (root / "no-dhcp").write_text("")
        initrd = self.folder / ("initrd-%d.cpio" % self.count)
        archive(root, initrd)  # a second archive, after the first
        initrd.write_bytes(self.base(programs) + initrd.read_bytes())
        return [self.kvm.path, "run", "-k", self.kernel, "--initrd", str(initrd), "-m", "256",
                "--netd", self.netd, "--cmdline", "quiet", "--timeout", timeout,
                *map(str, args)]

    def start(self, *args, before=(), env=None, fds=(), **how):
        return subprocess.Popen([*before, *self.words(*args, **how)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=env,
                                pass_fds=fds)

    def __call__(self, *args, seconds=90, **how):
        p = self.start(*args, **how)
        out, err = p.communicate(timeout=seconds)
        assert p.returncode == 0, (out, err)
        return out.decode(errors="replace").replace("\r", "")


def free_port(kind=socket.SOCK_STREAM, host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class Server:
    """Serves each TCP connection to this computer's loopback by `serve(socket)`, in a
    thread of its own; `served` counts them."""

    def __init__(self, serve, host="127.0.0.1"):
        self.serve, self.served = serve, 0
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind((host, 0))
        self.socket.listen(512)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.socket.accept()
            except OSError:
                return
            self.served += 1
            threading.Thread(target=self.one, args=(s,), daemon=True).start()

    def one(self, s):
        with s:
            try:
                self.serve(s)
            except OSError:
                pass

    def close(self):
        self.socket.close()


def guest_or_skip(kvm, folder):
    kernel = os.environ.get("MICROVM_RING3_KERNEL")
    netd = os.environ.get("MICROVM_NETD")
    if not kernel:
        pytest.skip("MICROVM_RING3_KERNEL is not set")
    if not netd or not shutil.which("cpio") or not os.path.exists("/usr/bin/busybox"):
        pytest.skip("microvm-netd is not built, or cpio or busybox-static not installed")
    return NetGuest(kvm, folder, kernel, netd)
