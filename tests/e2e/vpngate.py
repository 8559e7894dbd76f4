# SPDX-License-Identifier: MIT OR Apache-2.0
"""The VPN gateway for tests: what it is made of, where it runs, and `microvm vpn up` as a user has it, to a real server
(openvpn.py) in a namespace beside.

Its kernel is the first of these that there is: where KVM has hardware virtualization the default one (microvm-build kernel),
else Debian's; ring3-tun, which runs natively on any KVM; none, and then all of it happens in tools/kvmbox. Its programs are ours
(make vpn), or where those have not been built Debian's openvpn, with its libraries, and busybox: larger, but the same otherwise."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

import openvpn
from conftest import MICROVM, MICROVM_BUILD, Microvm

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests/boot"))
import beds  # noqa: E402

NETD = os.environ.get("MICROVM_NETD", "")
STOCK = "debian-cloud-6.1"
MODULES = "virtio_mmio,virtio_pci,virtio_net,virtio_rng,vmw_vsock_virtio_transport,tun,wireguard"
# Set for the tests that one test starts in another bed: the gateway's folder, and how much slower it is there.
GIVEN, SLOW = os.environ.get("MICROVM_VPN_GATEWAY"), int(os.environ.get("MICROVM_VPN_SLOW", "1"))
FULL = bool(os.environ.get("MICROVM_BOOT_FULL"))


# ---- what it is made of ------------------------------------------------------------


def kernel_folder(name):
    """None, and the reason, where there is none."""
    r = subprocess.run([os.path.join(ROOT, "tools/guest-kernel.sh"), name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, timeout=300)
    return (r.stdout.decode().strip(), "") if r.returncode == 0 else (None, r.stderr.decode().strip().splitlines()[-1])


def with_libraries(program):
    """It, and what it names."""
    needs = subprocess.run(["ldd", program], stdout=subprocess.PIPE, check=True).stdout.decode()
    return re.findall(r"(?:=> |^\s*)(/\S+) \(0x", needs, re.M) + [program]


def debian_root(folder):
    """A root file system of Debian's openvpn, the libraries that it names, and busybox."""
    openvpn_path, busybox = "/usr/sbin/openvpn", shutil.which("busybox")
    files = {f: f for f in with_libraries(openvpn_path)}
    files["/bin/busybox"] = busybox
    for to, file in files.items():
        os.makedirs(os.path.dirname(folder + to), exist_ok=True)
        shutil.copy(file, folder + to)
    for applet in subprocess.run([busybox, "--list-full"], stdout=subprocess.PIPE, check=True).stdout.decode().split():
        path = os.path.join(folder, applet)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not os.path.lexists(path):
            os.symlink("/bin/busybox", path)
    os.makedirs(folder + "/etc")
    for name, text in (("passwd", "root:x:0:0:root:/:/bin/sh\n"), ("hosts", "127.0.0.1 localhost\n"), ("resolv.conf", "")):
        with open(os.path.join(folder, "etc", name), "w") as f:
            f.write(text)
    return folder


def debian_template(folder):
    """The template with Debian's programs in the place of ours."""
    with open(os.path.join(ROOT, "guest/templates/vpngateway.json")) as f:
        template = json.load(f)
    parts = template["recipe"]["add-file"]
    parts = [p for p in parts if not p.startswith(("{vpn-root}", "{openvpn}"))]
    template["recipe"]["add-file"] = [debian_root(str(folder / "debian-root")) + ":/."] + parts
    path = folder / "debian.json"
    path.write_text(json.dumps(template))
    return str(path)


def build(folder, *words):
    return Microvm(MICROVM_BUILD)("-q", "--bundle", "-o", folder, *words, timeout=120)


def make(folder, kernel, ours=True, more=()):
    """The bundle in `folder`; kernel: a file, or a folder of guest-kernel.sh's. ours: skips where our programs are not built;
    None: Debian's instead, then; False: Debian's. more: words for microvm-build."""
    words = ["--kernel", kernel, *more]
    if os.path.isdir(kernel):
        words[1] = os.path.join(kernel, "vmlinux")
        if os.path.isdir(os.path.join(kernel, "lib/modules")):
            modules = str(folder) + ".modules"
            subprocess.run([os.path.join(ROOT, "tools/guest-initramfs.py"), "--modules-into", modules, "--kernel-dir", kernel,
                            "--modules", MODULES], check=True)
            words += ["--add-file", modules + ":/modules"]
    r = build(folder, "--template", "velocitty-vpn", *words) if ours is not False else None
    if r and b"'make vpn' in the source tree builds it" in r.stderr and ours:
        pytest.skip("no openvpn or busybox for guests: 'make vpn' builds them, once, in some minutes")
    if not r or b"'make vpn' in the source tree builds it" in r.stderr:
        r = build(folder, "--template", debian_template(folder.parent), *words)
    if b"it needs 'vpnd'" in r.stderr or b"not supported in this build" in r.stderr:
        pytest.skip(r.stderr.decode().strip())
    assert r.returncode == 0, r.stderr
    return folder


# ---- where it runs -----------------------------------------------------------------


def missing():
    """Why there can be no tunnel here at all, or ''."""
    if openvpn.usable():
        return openvpn.usable()
    if not NETD:
        return "no microvm-netd in this build"
    return "" if beds.can_open_kvm() or GIVEN else "/dev/kvm cannot be opened here"


def native_kernel():
    """The folder of one that runs here at once; None, and the reasons."""
    reasons = []
    for name in ("default", STOCK) if beds.has_hardware_virtualization() else ("ring3-tun",):
        folder, why = kernel_folder(name)
        if folder:
            return folder, ""
        reasons.append(why)
    return None, "; ".join(reasons)


def tests_with(gateway, file, *words, timeout=1800):
    """Runs tests of `file` with that gateway, in kvmbox where this computer cannot run it itself."""
    env = {"MICROVM_VPN_GATEWAY": str(gateway), "MICROVM_VPN_SLOW": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    bed = beds.Bed("native", "", False)
    if not beds.has_hardware_virtualization():
        bed, env["MICROVM_VPN_SLOW"], timeout = beds.Bed("kvmbox", "", True), "20", timeout // 6  # it gives that six times
    for name in ("MICROVM", "MICROVM_NETD", "MICROVM_BOOT_FULL"):
        if os.environ.get(name):
            env[name] = os.path.abspath(os.environ[name]) if name != "MICROVM_BOOT_FULL" else "1"
    r = bed.run(["env", *("%s=%s" % e for e in env.items()), "python3", "-m", "pytest", "-q", "-rs", "-x", "-p", "no:cacheprovider",
                 "--durations=0", file, *words], timeout, ROOT)
    print(r.text)
    assert r.status == 0 and re.search(r"\d+ passed", r.text), r


# ---- as a user has it --------------------------------------------------------------


class Up:
    """microvm vpn up in the server's near namespace."""

    def __init__(self, server, gateway, folder, *words, profile=None, listen="1080", stdin=subprocess.DEVNULL,
                 name="work.ovpn"):
        self.server, self.env = server, dict(os.environ, XDG_RUNTIME_DIR=str(folder))
        path = folder / name
        path.write_text(profile or server.profile())
        self.err = open(folder / "stderr", "w+b")
        self.began = time.monotonic()
        self.process = server.run(MICROVM, "vpn", "up", str(path), "--bundle", str(gateway), "--netd", NETD, "--listen", listen,
                                  *words, env=self.env, stdout=subprocess.PIPE, stderr=self.err,
                                  stdin=stdin)

    def said(self):
        self.err.seek(0)
        return self.err.read().decode()

    def until(self, words, seconds=15, times=1):
        end = time.time() + seconds * SLOW
        while self.said().count(words) < times:
            assert self.process.poll() is None and time.time() < end, self.said() + self.server.log()[-3000:]
            time.sleep(0.1)

    def microvm(self, *words, **kw):
        p = self.server.run(MICROVM, *words, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kw)
        out, err = p.communicate(timeout=60 * SLOW)
        return p.returncode, out.decode(), err.decode()

    def vpn(self, *words):
        return self.microvm("vpn", *words)

    def connected(self, seconds=30):
        """Waits until it is, which `until` cannot tell from an earlier time."""
        end = time.time() + seconds * SLOW
        while self.vpn("status")[0]:
            assert time.time() < end, self.said() + self.server.log()[-3000:]
            time.sleep(0.2)

    def fetch(self, host, path="", seconds=10):
        """By SOCKS5, from the near namespace; None: no way there."""
        p = self.server.run("curl", "-sS", "--max-time", str(seconds * SLOW), "--socks5-hostname", "127.0.0.1:1080",
                            "http://%s/%s" % (host, path), stdout=subprocess.PIPE)
        out = p.communicate()[0]
        return out.decode() if p.returncode == 0 else None

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30 * SLOW)
        print(self.said())  # shown when the test failed
        self.err.close()
