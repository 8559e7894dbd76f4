# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm vpn: the gateway as microvm-build makes it, what it costs, and what is refused. Its tunnel: test_vpn_tunnel.py."""
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from conftest import MICROVM, MICROVM_BUILD, Microvm
from vpngate import NETD, ROOT, kernel_folder, make


@pytest.fixture(scope="module")
def gateway(kvm, tmp_path_factory):
    """The bundle with the kernel that runs here at once, without tun."""
    kernel = os.environ.get("MICROVM_RING3_KERNEL")
    if not kernel or not NETD:
        pytest.skip("MICROVM_RING3_KERNEL or MICROVM_NETD is not set")
    return make(tmp_path_factory.mktemp("gateway") / "vpn", kernel)


@pytest.fixture
def vpn(kvm, gateway, tmp_path):
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    yield lambda *args, **kw: kvm("vpn", *args, "--name", "gate", **dict(env, **kw))
    kvm("kill", "gate", **env)


def up(gateway):
    return ["--bundle", str(gateway), "--netd", NETD, "--listen", "0"]


def test_it_is_small(gateway, tmp_path):
    """About 10 MB (R315), with the kernel as it is shipped."""
    folder, why = kernel_folder("default")
    if not folder:
        pytest.skip(why)
    vmlinuz, vmlinux = os.path.realpath(folder + "/kernel"), os.path.realpath(folder + "/vmlinux")
    bundle = make(tmp_path / "vpn", vmlinuz)
    assert sorted(f.name for f in bundle.iterdir()) == ["config.json", "initramfs", "initramfs.json", "vmlinuz"]
    assert sum(f.stat().st_size for f in bundle.iterdir()) < 10e6
    one, two = make(tmp_path / "one", vmlinux), make(tmp_path / "two", vmlinux)
    assert (one / "initramfs").read_bytes() == (two / "initramfs").read_bytes()


PARTS = "for f in %s; do [ -e $f ] || echo no $f; readlink $f; done; whoami" % " ".join((
    "/bin/busybox", "/sbin/init", "/sbin/openvpn", "/lib/ld-musl-*.so.1", "/etc/resolv.conf", "/etc/passwd", "/velocitty/daemon"))
LINKS = ["/init", "/usr/sbin/openvpn", "/usr/sbin/vpnd", "root"]


def test_it_is_a_system_to_look_around_in(kvm, gateway, tmp_path):
    """busybox and musl beside the daemons, by the names of R149 to R155."""
    env = {"XDG_RUNTIME_DIR": str(tmp_path)}
    r = kvm("run", "-d", "-q", "--name", "gate", "--netd", NETD, gateway, **env)
    assert r.returncode == 0, r.stderr
    try:
        r = kvm("exec", "gate", "sh", "-c", PARTS, **env)
        assert r.stdout.decode().split() == LINKS, r
        assert kvm("exec", "gate", "openvpn", "--version", **env).stdout.startswith(b"OpenVPN 2.")
    finally:
        kvm("kill", "gate", **env)


def test_it_is_a_disk_too(kvm, gateway, tmp_path):
    """The specification's other form: a root file system in squashfs, 20 to 30 MB there."""
    image = tmp_path / "guest.img"
    r = Microvm(MICROVM_BUILD)("-q", "--template", "velocitty-vpn", "--format", "squashfs", "--compress", "gzip", "-o", image)
    assert r.returncode == 0, r.stderr
    assert image.stat().st_size < 5e6
    r = kvm("run", "-q", "--template", "VpnGateway", "--net", "none", "--kernel", os.environ["MICROVM_RING3_KERNEL"], image, "--",
            "sh", "-c", PARTS + "; until pidof vpnd inbound-proxy >/dev/null; do sleep 0.1; done", XDG_RUNTIME_DIR=str(tmp_path))
    assert r.returncode == 0 and r.stdout.decode().split() == LINKS, r


def test_a_kernel_that_cannot_close_it(gateway):
    """Without rules of routing the console says so; with them: test_vpn_tunnel.py."""
    p = subprocess.Popen([MICROVM, "run", "-q", "--net", "none", "--timeout", "10s", gateway], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        assert any(b"vpnd: WARNING: this kernel has no rules of routing" in line for line in p.stdout)
    finally:
        p.kill()
        p.communicate()


def test_the_first_pong_within_a_second(kvm, gateway):
    """The best of three: this computer has other things to do."""
    sys.path.insert(0, os.path.join(ROOT, "tests/bench"))
    r = subprocess.run([sys.executable, os.path.join(ROOT, "tests/bench/bench_vpn.py"), "-n", "3", "--kernel",
                        os.environ["MICROVM_RING3_KERNEL"], "--netd", NETD, "--microvm", MICROVM], stdout=subprocess.PIPE, timeout=150)
    least = int(re.search(rb"ms \((\d+)-", r.stdout).group(1))
    assert least < 1000, r.stdout


def test_what_is_wrong_is_said(vpn, gateway, tmp_path):
    """Nothing of it leaves a machine behind."""
    good, bad = tmp_path / "good.ovpn", tmp_path / "bad.ovpn"
    good.write_text("client\ndev tun\nremote 10.0.2.2 1\n")
    bad.write_text("client\nup /bin/evil\n")
    for words, status, says in (
            ([], 125, "which profile?"), ([tmp_path / "none"], 125, "none' cannot be read: No such file"),
            ([tmp_path], 125, "cannot be read: Is a directory"),
            ([good, "--key-password-file", tmp_path / "none"], 125, "none: No such file"),
            ([bad, *up(gateway)], 125, "up"), ([good, "--bundle", tmp_path], 125, "no config.json"),
            ([good, "--user", "ann", *up(gateway)], 125, "belong together"),
            ([good, *up(gateway)], 1, "")):
        r = vpn("up", *words)
        assert r.returncode == status and says in r.stderr.decode(), r
        assert b"gate" not in vpn("status").stdout
    r = vpn("status")
    assert r.returncode == 125 and b"gate" in r.stderr
    assert b"did you mean 'status'?" in vpn("stat").stderr


@pytest.mark.parametrize("how,words,status", [(signal.SIGINT, [], 0), (signal.SIGTERM, [], 0), (signal.SIGINT, ["-d"], 125)])
def test_ended_while_the_daemon_does_not_come(kvm, tmp_path, how, words, status):
    """A guest that runs no daemon: a signal is heard at once, and all of it goes."""
    kernel = os.environ.get("MICROVM_RING3_KERNEL")
    if not kernel or not NETD:
        pytest.skip("MICROVM_RING3_KERNEL or MICROVM_NETD is not set")
    (tmp_path / "services").write_text("")
    gateway = make(tmp_path / "vpn", kernel, more=("--add-file", "%s:/etc/microvm/services" % (tmp_path / "services")))
    profile, env = tmp_path / "good.ovpn", dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path))
    profile.write_text("client\ndev tun\nremote 10.0.2.2 1\n")
    p = subprocess.Popen([MICROVM, "vpn", "up", str(profile), *up(gateway), *words], env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(3)
    assert p.poll() is None and kvm("vpn", "status", XDG_RUNTIME_DIR=str(tmp_path)).returncode == 125
    began = time.monotonic()
    p.send_signal(how)
    out, err = p.communicate(timeout=20)
    assert time.monotonic() - began < 3 and p.returncode == status, err
    assert (out, err) == (b"", b"")
    assert b"vpn" not in kvm("ps", XDG_RUNTIME_DIR=str(tmp_path)).stdout
