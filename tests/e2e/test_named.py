# SPDX-License-Identifier: MIT OR Apache-2.0
"""Named machines: running in the background, found again, asked and stopped by name."""
import json
import os
import signal
import subprocess
import time

import pytest

from test_terminal import Terminal


@pytest.fixture
def named(kvm, tmp_path):
    """The program with a runtime directory of its own; what still runs there is ended."""
    tmp_path.chmod(0o700)

    def run(*args, **kw):
        return kvm(*args, XDG_RUNTIME_DIR=str(tmp_path), **kw)

    run.folder = tmp_path / "microvm"
    run.env = dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path))
    run.path = kvm.path

    def refuses(*args, **kw):
        return kvm.refuses(*args, XDG_RUNTIME_DIR=str(tmp_path), **kw)

    run.refuses = refuses
    yield run
    for name in run("ps", "-q").stdout.decode().split():
        run("kill", name)


def ps(named):
    return {m["name"]: m for m in json.loads(named("ps", "--json").stdout)}


def wait_until(what, seconds=10):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for_log(named, name, text):
    wait_until(lambda: text in named("logs", name).stdout)


def test_detached_machines_are_listed_and_stopped(named, guest):
    r = named("run", "-d", "--name", "web", "-k", guest("sleep"), "-m", "64", "-c", "2")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"web\n", b"")
    other = named("run", "-d", "-k", guest("sleep")).stdout.decode().strip()
    assert other.count("-") == 1
    machines = ps(named)
    assert sorted(machines) == sorted(["web", other])
    web = machines["web"]
    assert (web["state"], web["image"], web["cpus"], web["memory"]) == \
        ("running", "sleep", 2, "64M")
    assert os.readlink("/proc/%d/exe" % web["pid"]) == os.path.realpath(named.path)
    assert abs(web["since"] - time.time()) < 60
    lines = named("ps").stdout.decode().splitlines()
    assert lines[0].split() == ["NAME", "STATE", "IMAGE", "CPUS", "MEMORY", "PID", "SINCE",
                                "PORTS"]
    assert sorted(line.split()[0] for line in lines[1:]) == sorted(["web", other])
    r = named("stop", "-t", "0", "web", other)
    assert (r.returncode, r.stdout.decode().split()) == (0, ["web", other])
    assert named("ps", "-q").stdout == b"" and os.listdir(named.folder) == []
    wait_until(lambda: not os.path.exists("/proc/%d" % web["pid"]))


def test_the_directory_is_private(named, guest):
    named("run", "-d", "--name", "a", "-k", guest("sleep"))
    assert named.folder.stat().st_mode & 0o777 == 0o700
    named("kill", "a")
    named.folder.chmod(0o755)
    assert "is open to others" in named.refuses("run", "--name", "a", "-k", guest("hi"))
    assert named("run", "-k", guest("hi")).stdout == b"Hi\n"  # no name is no reason
    named.folder.chmod(0o700)


def test_a_name_is_taken_while_its_machine_lives(named, guest):
    named("run", "-d", "--name", "web", "-k", guest("sleep"))
    assert named.refuses("run", "-d", "--name", "web", "-k", guest("hi")) == (
        "--name web: a machine of that name is running; 'microvm ps' lists them, "
        "'microvm stop web' ends it")
    assert named.refuses("stop", "wbe") == "there is no machine 'wbe': did you mean 'web'?"
    named("kill", "web")
    assert named.refuses("stop", "web") == \
        "there is no machine 'web'; 'microvm ps' lists them"
    for bad in ["a/b", "../x", ".x", "-x", "a b", ""]:
        assert named.refuses("run", "--name=" + bad, "-k", guest("hi")).startswith("--name")


def test_names_of_the_dead_are_cleaned_up(named, guest):
    named("run", "-d", "--name", "web", "-k", guest("sleep"))
    pid = ps(named)["web"]["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not os.path.exists("/proc/%d" % pid))
    assert sorted(os.listdir(named.folder)) == ["web.lock", "web.sock"]
    r = named("ps", "-q")
    assert (r.stdout, r.stderr) == (b"", b"") and os.listdir(named.folder) == []
    assert named("run", "-d", "--name", "web", "-k", guest("sleep")).returncode == 0
    os.kill(ps(named)["web"]["pid"], signal.SIGKILL)
    # the next one of that name needs no ps in between
    wait_until(lambda: named("run", "-d", "--name", "web", "-k",
                             guest("sleep")).returncode == 0)


def test_a_failed_start_is_said_by_the_one_that_was_asked(named, guest):
    assert named.refuses("run", "-d", "-k", "/nowhere/k").startswith("kernel '/nowhere/k'")
    assert named.refuses("run", "-d", "-t", "-k", guest("hi")).startswith("--detach: ")
    assert not named.folder.exists() or os.listdir(named.folder) == []


def test_pause_and_resume(named, guest):
    named("run", "-d", "--name", "web", "-k", guest("sleep"))
    assert named("pause", "web").stdout == b"web\n"
    assert ps(named)["web"]["state"] == "paused"
    assert "paused" in named.refuses("pause", "web")
    assert named("resume", "web").stdout == b"web\n"
    assert ps(named)["web"]["state"] == "running"


def test_inspect_and_stats(named, guest):
    named("run", "-d", "--name", "web", "-k", guest("sleep"))
    wait_for_log(named, "web", b"Hi\n")
    (all_of_it,) = json.loads(named("inspect", "web").stdout)
    assert all_of_it["config"]["kernel"] == guest("sleep")
    assert all_of_it["stats"]["entries"] >= 1 and all_of_it["state"] == "running"
    assert all_of_it["stats"]["transport"] == "mmio"
    assert json.loads(named("stats", "--json").stdout)["web"]["entries"] >= 1
    shown = named("stats", "--no-stream", "web").stdout
    assert b"EXITS/s" in shown and shown.endswith(b" -      -\n")  # no agent
    r = named("inspect", "web", "bew")
    assert r.returncode == 125 and len(json.loads(r.stdout)) == 1


def test_limits_are_changed_while_it_runs(named, guest, tmp_path):
    disk = tmp_path / "a.img"
    disk.write_bytes(bytes(1 << 20))
    named("run", "-d", "--name", "web", "-k", guest("sleep"), "--disk", str(disk),
          "--limit", "disk:5M/s,100")

    def in_force():
        return json.loads(named("inspect", "web").stdout)[0]["config"]["limits"]

    assert in_force() == ["disk:5M/s,100"]
    r = named("limit", "web", "disk:1M/s,500", "disk=vda:0")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"", b"")
    assert in_force() == ["disk:1M/s,500", "disk=vda:0K/s"]
    # all are looked at first: nothing of these is done
    assert "no disk 'vdb'" in named.refuses("limit", "web", "disk:7M", "disk=vdb:1M")
    assert "has no rate" in named.refuses("limit", "web", "disk:7M", "disk")
    assert in_force() == ["disk:1M/s,500", "disk=vda:0K/s"]
    for i in range(30):  # one that replaces another takes no place of its own
        assert named("limit", "web", "disk:%dM" % (i + 1)).returncode == 0
    assert in_force() == ["disk:30M/s"]
    assert "no disk 'vdb'" in named.refuses("limit", "web", "disk=vdb:1M")
    assert "has no rate" in named.refuses("limit", "web", "disk")
    assert "name a machine and a limit" in named.refuses("limit", "web")


def test_logs_and_their_end(named, guest):
    named("run", "-d", "--name", "web", "-k", guest("echo"))
    wait_for_log(named, "web", b"Hi\n")
    p = subprocess.Popen([named.path, "logs", "-f", "web"], env=named.env,
                         stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"Hi\n"
    named("attach", "web", stdin=b"more\nq")
    assert p.stdout.read() == b"more\nq" and p.wait(10) == 0


def test_attach_takes_part(named, guest):
    named("run", "-d", "--name", "web", "-k", guest("echo"))
    t = Terminal("env", "XDG_RUNTIME_DIR=" + named.env["XDG_RUNTIME_DIR"], named.path,
                 "attach", "web")
    wait_until(t.is_raw)
    t.type(b"abc")
    t.until(b"abc")
    t.type(b"\x1d\x1d")
    assert t.process.wait(10) == 0 and t.given_back()
    t.close()
    assert ps(named)["web"]["state"] == "running"  # leaving is not stopping


def test_a_reader_who_does_not_read_stops_nothing(named, guest):
    """And is told what it missed: the history is a ring."""
    machine = subprocess.Popen([named.path, "run", "--name", "web", "-k", guest("flood")],
                               env=named.env, stdout=subprocess.DEVNULL)
    wait_for_log(named, "web", b"Hi\n")
    p = subprocess.Popen([named.path, "logs", "-f", "web"], env=named.env,
                         stdout=subprocess.PIPE)
    assert p.stdout.readline() == b"Hi\n"
    p.send_signal(signal.SIGSTOP)
    named("attach", "web", stdin=b"g")
    wait_until(lambda: json.loads(named("stats", "--json", "web").stdout)["web"]
               ["console_out_bytes"] > 256 << 10, 90)  # all of 384, but for what the chip loses: nobody asks it first
    p.send_signal(signal.SIGCONT)
    named("attach", "web", stdin=b"q")
    assert b"bytes lost]" in p.stdout.read() and p.wait(10) == 0
    assert machine.wait(10) == 0


def test_a_foreground_machine_has_a_name_too(named, guest):
    p = subprocess.Popen([named.path, "run", "--name", "here", "-k", guest("sleep")],
                         env=named.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.stdout.readline() == b"Hi\n"
    assert named("logs", "here").stdout == b"Hi\n"
    assert named("stop", "-t", "0", "here").returncode == 0
    assert p.wait(10) == 137


def test_several_at_once(named, guest):
    names = ["m%d" % i for i in range(8)]
    for name in names:
        assert named("run", "-d", "--name", name, "-m", "32",
                     "-k", guest("sleep")).returncode == 0
    assert sorted(ps(named)) == names
    assert named("kill", *names).stdout.decode().split() == names
    wait_until(lambda: ps(named) == {})


def test_one_that_hangs_does_not_hold_up_the_list(named, guest):
    for name in ("stuck", "well"):
        assert named("run", "-d", "--name", name, "-k", guest("sleep")).returncode == 0
    pid = ps(named)["stuck"]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        r = named("ps")
        assert time.monotonic() - began < 10
        assert b"machine 'stuck' does not answer" in r.stderr and b"well" in r.stdout
    finally:
        os.kill(pid, signal.SIGCONT)


def test_descriptors_are_as_many_as_the_system_gives(named, guest):
    """A guest's connections take them, and its user must still get through."""
    wrapped = ["sh", "-c", "ulimit -Sn 64; exec \"$@\"", "sh", named.path]
    r = subprocess.run([*wrapped, "run", "-d", "--name", "wide", "-k", guest("sleep")], env=named.env, capture_output=True, timeout=60)
    assert r.returncode == 0, r
    with open("/proc/%d/limits" % ps(named)["wide"]["pid"], encoding="ascii") as f:
        soft, hard = next(line.split()[3:5] for line in f if line.startswith("Max open files"))
    assert soft == hard != "64"


@pytest.mark.parametrize("line", [b"", b"x\n", b"{}\n", b'{"do": "dance"}\n',
                                  b'{"do": "stop", "timeout_ms": -1}\n',
                                  b'{"do": "resize", "columns": 0, "rows": 1e9}\n',
                                  b"y" * 10000 + b"\n", b"\0\0\0\n"])
def test_nonsense_on_the_socket_harms_nobody(named, guest, line):
    import socket
    named("run", "-d", "--name", "web", "-k", guest("sleep"))
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(10)
    s.connect(str(named.folder / "web.sock"))
    try:
        s.sendall(line)
        s.shutdown(socket.SHUT_WR)
        answer = s.recv(4096)
    except (BrokenPipeError, ConnectionResetError):
        answer = b""
    assert answer == b"" or "error" in json.loads(answer)
    assert ps(named)["web"]["state"] == "running"
