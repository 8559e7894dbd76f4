# SPDX-License-Identifier: MIT OR Apache-2.0
"""Commands in a machine: microvm exec and shell, with microvm-init in a Linux guest."""
import hashlib
import json
import os
import re
import signal
import subprocess
import threading
import time

import pytest

from test_named import ps, wait_until
from test_terminal import Terminal

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


@pytest.fixture(scope="module")
def place(microvm, tmp_path_factory):
    """The program where machines have names of their own, and flags of a guest with an
    agent in it."""
    kernel, init = os.environ.get("MICROVM_RING3_KERNEL"), os.environ.get("MICROVM_INIT")
    if not kernel or not init:
        pytest.skip("MICROVM_RING3_KERNEL is not set, or microvm-init is not in this build")
    folder = tmp_path_factory.mktemp("exec")
    initrd = str(folder / "initrd.cpio")
    subprocess.run([os.path.join(ROOT, "tools", "guest-initramfs.py"), "-o", initrd, "--init",
                    init, "--busybox"], check=True)
    env = {"XDG_RUNTIME_DIR": str(folder)}

    def run(*args, **kw):
        return microvm(*args, **dict(env, **kw))

    run.env, run.path = dict(os.environ, **env), microvm.path
    run.guest = ["-k", kernel, "--initrd", initrd, "-m", "256", "--cmdline", "quiet"]
    return run


@pytest.fixture(scope="module")
def web(kvm, place):
    """A machine named web."""
    r = place("run", "-d", "--name", "web", *place.guest, "--vsock", "cid=5", timeout=60)
    assert r.returncode == 0, r
    yield place
    r = place("stop", "-t", "10", "web", timeout=30)
    assert r.returncode == 0, r


def test_output_errors_and_status(web):
    r = web("exec", "web", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (r.returncode, r.stdout, r.stderr) == (7, b"out\n", b"err\n")
    assert web("exec", "web", "uname").stdout == b"Linux\n"


def test_the_commands_flags_are_its_own(web):
    assert web("exec", "web", "echo", "-n", "--help", "-it").stdout == b"--help -it"
    assert web("exec", "web", "--", "echo", "x").stdout == b"x\n"


def test_place_variables_and_user(web):
    r = web("exec", "-e", "A=b c", "-e", "B=", "-w", "/proc", "-u", "5:6", "web", "sh", "-c",
            "echo $A; pwd; id -u; id -g; echo ${B-unset}")
    assert r.stdout == b"b c\n/proc\n5\n6\n\n"


def test_input_of_a_hundred_million_bytes(web):
    data = os.urandom(1 << 20) * 96
    r = web("exec", "-i", "web", "cat", stdin=data, timeout=120)
    assert hashlib.sha256(r.stdout).digest() == hashlib.sha256(data).digest()
    assert r.returncode == 0
    assert web("exec", "web", "cat", stdin=b"not read").stdout == b""


def test_fifty_at_once(web):
    results = [None] * 50

    def one(n):
        results[n] = web("exec", "-i", "web", "sh", "-c", "cat; exit %d" % n,
                         stdin=b"%d" % n, timeout=60)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [(r.returncode, r.stdout, r.stderr) for r in results] == [(n, b"%d" % n, b"") for n in range(50)]


@pytest.mark.parametrize("argv, status, words", [
    (["no-such"], 127, "exec: no-such: No such file"),
    (["/proc"], 126, "exec: /proc: Permission denied"),
])
def test_what_cannot_be_run(web, argv, status, words):
    r = web("exec", "web", *argv)
    assert r.returncode == status and words in r.stderr.decode()


@pytest.mark.parametrize("args, words", [
    (["exec", "bew", "true"], "bew"),
    (["exec", "web"], "name a machine and a command"),
    (["exec", "-e", "A", "web", "true"], "--env A: write NAME=VALUE"),
    (["exec", "-it", "web", "true"], "standard input is no terminal"),
    (["shell", "web", "x"], "shell: name a machine"),
])
def test_what_is_refused(web, args, words):
    r = web(*args)
    assert r.returncode == 125 and words in r.stderr.decode()


def sleepers(web):
    return web("exec", "web", "pidof", "sleep").stdout.split()


def test_signals_go_to_the_command(web):
    p = subprocess.Popen([web.path, "exec", "web", "sh", "-c",
                          "trap 'echo caught; exit 3' TERM; echo ready; while :; do sleep 0.1; done"],
                         env=web.env, stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    p.send_signal(signal.SIGTERM)
    assert p.stdout.read() == b"caught\n" and p.wait(10) == 3


def test_a_client_that_is_killed_leaves_nothing(web):
    p = subprocess.Popen([web.path, "exec", "web", "sh", "-c", "sleep 1000 & sleep 1000"],
                         env=web.env)
    wait_until(lambda: len(sleepers(web)) == 2)
    p.kill()
    p.wait()
    wait_until(lambda: not sleepers(web))


def test_a_shell_on_a_terminal(web):
    t = Terminal(web.path, "shell", "web", env=web.env)
    t.until(b"# ")
    t.type(b"stty size; tty\n")
    t.until(b"/dev/pts/")
    t.type(b"sleep 100\n")
    time.sleep(0.3)
    t.type(b"\x03")
    t.type(b"echo $((6*7)); exit 9\n")
    t.until(b"42")
    assert t.process.wait(10) == 9
    assert t.given_back()
    t.close()


def test_input_that_ends_early(web):
    r = web("exec", "-i", "web", "head", "-c", "3", stdin=b"x" * 1000000)
    assert (r.returncode, r.stdout) == (0, b"xxx")


def test_the_machine_is_listed(web):
    assert ps(web)["web"]["state"] == "running"
    assert re.match(rb"\d+\n", web("exec", "web", "sh", "-c", "echo $$").stdout)


def test_what_the_guest_says_of_itself(web):
    assert web("exec", "web", "true").returncode == 0  # it is up
    guest = json.loads(web("stats", "--json", "web").stdout)["web"]["guest"]
    assert 200 << 20 < guest["memory_bytes"] <= 256 << 20
    assert 0 < guest["memory_free_bytes"] < guest["memory_bytes"] and guest["processes"] > 0
    head, line = web("stats", "--no-stream", "web").stdout.decode().splitlines()
    assert head.split()[-3:] == ["GUEST", "MEMORY", "LOAD"]
    assert re.search(r" \d+/2\d\d MiB +\d\.\d\d$", line)


# ---- run -- COMMAND --------------------------------------------------------------------

def left(place):
    return set(ps(place)) - {"web"}


def test_a_machine_for_one_command(kvm, place):
    r = place("run", "-i", *place.guest, "-e", "A=b", "-w", "/proc", "--", "sh", "-c",
              "echo $A; pwd; cat; echo err >&2; exit 7", stdin=b"in\n", timeout=60)
    assert (r.returncode, r.stdout, r.stderr) == (7, b"b\n/proc\nin\n", b"err\n")
    assert not left(place)
    r = place("run", *place.guest, "--", "no-such", timeout=60)
    assert r.returncode == 127 and b"no-such: No such file" in r.stderr
    assert not left(place)


def test_what_runs_on_is_ended_with_the_machine(kvm, place):
    began = time.monotonic()
    r = place("run", *place.guest, "--", "sh", "-c", "sleep 1000 & echo begun", timeout=60)
    assert (r.returncode, r.stdout) == (0, b"begun\n")
    assert time.monotonic() - began < 20 and not left(place)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_the_machine_ends_with_its_command(kvm, place, number):
    p = subprocess.Popen([place.path, "run", "--name", "one", *place.guest, "--", "sh", "-c",
                          "echo ready; exec sleep 1000"], env=place.env, stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    assert ps(place)["one"]["state"] == "running"
    assert b"GUEST" not in place("logs", "one").stderr
    p.send_signal(number)
    assert p.wait(20) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: not left(place))


def test_a_machine_without_an_agent(kvm, place, guest):
    began = time.monotonic()
    r = place("run", "--timeout", "2s", "-k", guest("sleep"), "--", "true", timeout=60)
    assert (r.returncode, r.stderr) == (124, b"microvm: the time limit is over\n"), r
    assert time.monotonic() - began < 15 and not left(place)


@pytest.mark.parametrize("limit", ["1ms", "20ms", "50ms", "100ms", "200ms", "3s"])
def test_a_command_that_takes_too_long(place, limit):
    """Why it has ended is said, and nothing else, be the agent there by then or not."""
    r = place("run", "--timeout", limit, *place.guest, "--", "sleep", "1000", timeout=60)
    assert (r.returncode, r.stderr) == (124, b"microvm: the time limit is over\n"), r


@pytest.mark.parametrize("name, status, words", [
    ("crash", 125, b"microvm: the guest reset itself by a triple fault\n"),
    ("hi", 125, b"ended"),  # for it nothing was wrong; the words depend on when
])
def test_a_guest_that_ends_before_its_agent_is_there(kvm, place, guest, name, status, words):
    for _ in range(10):
        r = place("run", "-k", guest(name), "--", "true", timeout=60)
        assert r.returncode == status and r.stderr.count(b"\n") == 1 and words in r.stderr, r


@pytest.mark.parametrize("args, words", [
    (["-e", "A=b"], "--env is for a command: write it behind '--'"),
    (["-e", "A", "--", "true"], "--env A: write NAME=VALUE"),
])
def test_commands_that_are_refused(microvm, args, words):
    assert words in microvm.refuses("run", "-k", "x", *args)


# ---- the end ---------------------------------------------------------------------------

@pytest.mark.parametrize("acpi", ["on", "off"])
def test_stop_asks_the_agent(kvm, place, acpi):
    """Its processes hear of it, also where there is no power button."""
    r = place("run", "-d", "--name", "asked", *place.guest, "--acpi", acpi, "--vsock", "cid=7", timeout=60)
    assert r.returncode == 0, r
    p = subprocess.Popen([place.path, "exec", "asked", "sh", "-c",
                          "trap 'echo told; exit 3' TERM; echo ready; while :; do sleep 0.1; done"],
                         env=place.env, stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"ready\n"
    began = time.monotonic()
    r = place("stop", "-t", "10", "asked", timeout=30)
    assert (r.returncode, r.stdout, r.stderr) == (0, b"asked\n", b"")
    assert time.monotonic() - began < 8
    assert p.stdout.read() == b"told\n" and "asked" not in ps(place)
    p.wait(5)


def test_stop_kills_what_does_not_end(kvm, place):
    """A guest that cannot even answer."""
    r = place("run", "-d", "--name", "stays", *place.guest, "--vsock", "cid=7", timeout=60)
    assert r.returncode == 0, r
    began = time.monotonic()
    assert place("pause", "stays").returncode == 0  # it cannot even answer
    assert place("stop", "-t", "1", "stays", timeout=30).returncode == 0
    assert time.monotonic() - began < 8 and "stays" not in ps(place)
