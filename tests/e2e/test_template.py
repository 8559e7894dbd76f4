# SPDX-License-Identifier: MIT OR Apache-2.0
"""Templates: kinds of machines as data files. Which are there, what they say, what wins over them, files of the
user's own; and that machines of them are so."""
import gzip
import json
import os
import shutil
import subprocess

import pytest

from test_run_image import build, image, root, run, said  # noqa: F401: fixtures

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")
OURS = {
    "VpnGateway": {"memory": "128M"},
    "velocitty-vpn": {"memory": "128M"},
    "DevEnvironment": {"memory": "2G", "cpus": 4},
    "Sandbox": {"memory": "256M", "nets": ["none"]},
    "AiAgent": {"memory": "512M", "timeout": "300s"},
}


@pytest.fixture
def settings(microvm, tmp_path):
    def settings(*args):
        r = microvm("config", "--defaults", "-k", "/boot/none", *args, XDG_CONFIG_HOME=str(tmp_path))
        assert r.returncode == 0, r.stderr
        return json.loads(r.stdout)
    return settings


@pytest.fixture
def mine(tmp_path):
    """A template of the user's own."""
    folder = tmp_path / "microvm/templates"
    folder.mkdir(parents=True)

    def write(name, content):
        path = folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)
    return write


@pytest.mark.parametrize("name", OURS)
def test_ours(settings, name):
    found = settings("--template", name)
    assert {k: found.get(k) for k in OURS[name]} == OURS[name]


@pytest.mark.parametrize("name", ["sandbox", "SANDBOX", "dev-environment", "vpn_gateway"])
def test_names_are_forgiving(settings, name):
    assert settings("--template", name)["memory"] in ("256M", "2G", "128M")


def test_explicit_settings_win(settings, tmp_path):
    file = tmp_path / "vm.json"
    file.write_text('{"memory": "1G"}')
    assert settings("--template", "Sandbox", "-m", "300")["memory"] == "300M"
    assert settings("--config", file, "--template", "Sandbox")["memory"] == "1G"
    found = settings("-m", "300", "--net", "user", "--template", "Sandbox")
    assert found["memory"] == "300M" and found["nets"] == ["user"]


def test_one_of_my_own(settings, mine):
    mine("box.json", {"template": "Sandbox", "machine": {"cpus": 2}})
    mine("bigbox.json", {"template": "box", "machine": {"memory": "1G"}})
    found = settings("--template", "Big-Box")
    assert (found["memory"], found["cpus"], found["nets"]) == ("1G", 2, ["none"])


def test_mine_before_yours(settings, mine):
    mine("sandbox.json", {"machine": {"memory": "99M"}})
    assert settings("--template", "Sandbox")["memory"] == "99M"


def test_a_file(settings, mine):
    path = mine("x.json", {"machine": {"rng": True}})
    assert settings("--template", path)["rng"] is True


@pytest.mark.parametrize("content,words", [
    ("{", "line 1"), ("[]", "no JSON object"), ('{"machines": {}}', "unknown key 'machines'"),
    ('{"machine": []}', "an object is wanted"), ('{"machine": {"memory": "1M"}}', "memory"),
    ('{"machine": {"memori": "1G"}}', "memori"), ('{"template": "box"}', "begins with itself"),
    ('{"template": "nothing"}', "none of that name"), ('{"image": 1}', "a text is wanted")])
def test_wrong_ones(microvm, mine, tmp_path, content, words):
    mine("box.json", content)
    said = microvm.refuses("config", "-k", "x", "--template", "box", XDG_CONFIG_HOME=str(tmp_path))
    assert words in said


def test_a_wrong_recipe(microvm_build, mine, tmp_path):
    mine("box.json", {"recipe": {"outptu": "x"}})
    said = microvm_build.refuses("image", "--template", "box", "-o", "x", XDG_CONFIG_HOME=str(tmp_path))
    assert said == "template 'box': unknown key 'outptu': did you mean 'output'?"


def test_there_is_none_of_that_name(microvm, microvm_build, tmp_path):
    for program, args in ((microvm, ["run"]), (microvm_build, ["image", "-o", "x"])):
        said = program.refuses(*args, "--template", "sandbx", XDG_CONFIG_HOME=str(tmp_path))
        assert "template 'sandbx': there is none of that name" in said


# ---- machines of them ----------------------------------------------------------------


def test_a_sandbox_has_no_network(run, image):  # noqa: F811
    text = said(run("run", "--template", "Sandbox", image, "--", "sh", "-c", "ls /sys/class/net; cat /proc/meminfo"))
    names = text.splitlines()
    assert "lo" in names and not [n for n in names if n.startswith("eth")]
    total = int(next(n for n in names if n.startswith("MemTotal")).split()[1])
    assert 180 << 10 < total <= 256 << 10


def test_an_agents_time_is_over(run, image):  # noqa: F811
    """The template's 300 s, made shorter by the user's word."""
    r = run("run", "--template", "AiAgent", "--net", "none", "--timeout", "2s", image, "--", "sleep", "60")
    assert r.returncode == 124, r


def test_the_builder_begins_with_one(run, root, microvm_build, mine, tmp_path):  # noqa: F811
    """The recipe of a template, what wins over it, and a machine of both."""
    template = mine("hello.json", {"template": "Sandbox", "recipe": {"env": ["WHO=me"], "entrypoint": ["/bin/echo", "hello"]}})
    out = tmp_path / "hello.img"
    r = microvm_build("-q", "--template", template, "--base", "dir:%s" % root, "--compress", "gzip", "-o", out)
    if b"not supported in this build" in r.stderr:
        pytest.skip("microvm-build has no image builder")
    assert r.returncode == 0, r.stderr
    assert not r.stderr, "nothing was left away, and it was to be quiet"
    about = json.loads((tmp_path / "hello.img.json").read_text())
    assert about["entrypoint"] == ["/bin/echo", "hello"] and about["env"] == ["WHO=me"]
    assert said(run("run", "--template", template, out)) == "hello\n"
    # A template may name the image itself.
    both = mine("both.json", {"template": template, "image": str(out)})
    assert said(run("run", "--template", both)) == "hello\n"


def test_what_may_be_missing_is_named(microvm_build, mine, tmp_path):
    add = ["{no-such-tool?}:/bin/tool", "{nor-this?}:/bin/this", str(tmp_path / "init") + ":/init:0755"]
    template = mine("less.json", {"recipe": {"base": "scratch", "format": "initramfs", "add-file": add}})
    (tmp_path / "init").write_text("an init")
    out = tmp_path / "less.cpio"
    r = microvm_build("--template", template, "-o", out)
    if b"not supported in this build" in r.stderr:
        pytest.skip("microvm-build has no image builder")
    assert r.returncode == 0 and b"less.cpio: without no-such-tool, nor-this of the template, not installed here\n" in r.stderr, r
    cpio = gzip.decompress(out.read_bytes())
    assert b"init" in cpio and b"bin/tool" not in cpio


def test_the_example(run, image):  # noqa: F811
    """examples/sandbox.c: a template by the library, a command, its output and exit status."""
    top = os.path.dirname(os.path.dirname(os.environ.get("MICROVM", "")))
    program = os.path.join(top, "examples/sandbox")
    kernel, init = os.environ.get("MICROVM_RING3_KERNEL"), os.path.join(top, "guest/microvm-init.cpio")
    if not kernel or not os.access(program, os.X_OK) or not os.access(init, os.R_OK):
        pytest.skip("needs the ring3 kernel, the examples and microvm-init.cpio")

    def sandbox(*command):
        return subprocess.run([program, os.path.join(ROOT, "guest/templates"), kernel, init, str(image), *command],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    r = sandbox("sh", "-c", "ls /sys/class/net; grep MemTotal /proc/meminfo; echo wrong >&2; exit 7")
    assert r.returncode == 7 and r.stderr == b"wrong\n", r
    names = r.stdout.decode().split()
    assert not [n for n in names if n.startswith("eth")] and 180 << 10 < int(names[-2]) <= 256 << 10
    r = sandbox("no-such-command")
    assert r.returncode == 125 and r.stderr.startswith(b"sandbox: no-such-command: "), r


def test_the_gateway_by_the_library(tmp_path):
    """examples/gateway.c (R019): the template's image built and a machine of 128 MiB started from it by the library. OpenVPN
    itself, which this does not start, is a stand-in."""
    build, kernel = os.path.dirname(os.path.dirname(os.environ.get("MICROVM", ""))), os.environ.get("MICROVM_RING3_KERNEL")
    program, netd, guest = (os.path.join(build, *p) for p in (("examples", "gateway"), ("netd", "microvm-netd"), ("guest",)))
    if not kernel or not all(os.access(p, os.X_OK) for p in (program, netd, os.path.join(guest, "vpnd"))):
        pytest.skip("needs the ring3 kernel, microvm-netd, vpnd and the examples with an image builder")
    share = tmp_path / "share"
    shutil.copytree(os.path.join(ROOT, "guest/templates"), share / "templates")
    shutil.copytree(os.path.join(ROOT, "guest/vpn"), share / "vpn")
    (share / "vpn-root").mkdir()

    def gateway(name):
        return subprocess.run([program, share, guest, kernel, netd, tmp_path / name], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=120)
    if not os.path.exists(os.path.join(guest, "openvpn")):
        r = gateway("none")
        assert r.returncode == 1 and b"it needs 'openvpn', which is not installed; 'make vpn'" in r.stderr, r
        assert not (tmp_path / "none").exists()
    (share / "openvpn").write_bytes(b"#!/bin/false\n")
    r = gateway("vpn")
    assert (r.returncode, r.stdout, r.stderr) == (0, b"pong\n", b"")
    assert json.loads((tmp_path / "vpn/config.json").read_text())["memory"] == "128M"
