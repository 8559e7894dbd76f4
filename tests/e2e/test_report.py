# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a guest tells its host unasked: that it is ready, and how its main command ended (proto/agent.md, "The report")."""
import os
import subprocess

import pytest

from test_agent_copy import examples
from test_exec import place  # noqa: F401: a fixture
from test_named import wait_until


def main_command(place, *words, **kw):  # noqa: F811
    """Handed over on the kernel's command line."""
    return place("run", *place.guest, "--vsock", "cid=5", "--cmdline", "quiet -- " + " ".join(words), **kw)


@pytest.mark.parametrize("words, status", [
    (["/bin/busybox", "true"], 0), (["/bin/busybox", "false"], 1), (["/nothing-like-it"], 127), (["/tmp"], 126),
    (["/bin/sh", "-c", "kill${IFS}-9${IFS}$$"], 137), (["/bin/sh", "-c", "sleep${IFS}0.3;exit${IFS}42"], 42),
])
def test_the_main_commands_status_is_ours(kvm, place, words, status):  # noqa: F811
    r = main_command(place, *words)
    assert r.returncode == status, r


def test_nothing_of_the_consoles_output_is_lost(kvm, place):  # noqa: F811
    """Not at the command's end, when the kernel hangs up terminals, nor at the power's."""
    r = main_command(place, "/bin/busybox", "seq", "3000")
    assert r.returncode == 0
    lines = r.stdout.decode().replace("\r", "").split("\n")
    assert [x for x in lines if x.isdigit()] == [str(i) for i in range(1, 3001)]


def test_without_a_socket_device_it_powers_off_as_well(kvm, place):  # noqa: F811
    r = place("run", *place.guest, "--cmdline", "quiet -- /bin/busybox false")
    assert r.returncode == 0 and b"status 1" in r.stdout


def test_the_examples_are_the_unit_tests():
    """tests/unit/test_report.c feeds them to the library."""
    text = open(os.path.join(os.path.dirname(__file__), "../unit/test_report.c")).read()
    for example in examples()[-2:]:
        assert ", ".join("0x%02x" % x for x in example) in " ".join(text.split())


@pytest.fixture
def job(kvm, place):  # noqa: F811
    """A machine in the background with a main command."""
    def job(*args):
        return place("run", "-d", "--name", "job", *place.guest, *args, timeout=60)
    yield job
    place("kill", "job")


def test_in_the_background(place, job):  # noqa: F811
    """Its output is in the logs, its status comes to who waits."""
    r = job("-e", "A=b c", "-w", "/root", "--", "sh", "-c", "echo $A $(pwd); until test -e go; do sleep 0.05; done; exit 9")
    assert (r.returncode, r.stdout) == (0, b"job\n"), r
    wait_until(lambda: b"b c /root" in place("logs", "job").stdout)
    waiter = subprocess.Popen([place.path, "wait", "job"], env=place.env, stdout=subprocess.PIPE)
    assert place("exec", "job", "touch", "/root/go").returncode == 0
    assert waiter.communicate(timeout=20)[0] == b"9\n" and waiter.returncode == 0


def test_a_second_one_is_refused_and_others_go_on(place, job):  # noqa: F811
    assert job("--", "sleep", "100").returncode == 0
    assert place("exec", "job", "echo", "x").stdout == b"x\n"
    assert place("stop", "job").returncode == 0


def test_one_that_cannot_be_run(place, job):  # noqa: F811
    r = job("--", "nothing-like-it")
    assert r.returncode == 127 and r.stdout == b"" and b"nothing-like-it: No such file" in r.stderr
    wait_until(lambda: place("ps", "-q").stdout == b"")


def test_wait_says_what_it_waits_for(place):  # noqa: F811
    assert place("wait").returncode == 125
    r = place("wait", "nobody")
    assert r.returncode == 125 and b"nobody" in r.stderr
