# SPDX-License-Identifier: MIT OR Apache-2.0
"""The command line where no guest is needed: help, mistakes, configurations."""
import json
import re
import shutil
import subprocess

import pytest

COMMANDS = ["run", "ps", "stop", "kill", "pause", "resume", "wait", "exec", "shell", "cp", "logs", "attach",
            "port", "net", "limit", "connect", "socks", "vpn", "images", "pull", "rmi", "prune", "inspect",
            "stats", "info", "config", "version", "help", "completion"]


def test_version(microvm):
    r = microvm("version")
    assert r.returncode == 0 and r.stderr == b""
    assert re.fullmatch(rb"microvm \d+\.\d+\.\d+\n", r.stdout)
    assert microvm("--version").stdout == r.stdout


def test_help_lists_every_command(microvm):
    r = microvm("help")
    assert r.returncode == 0
    assert re.findall(r"^  (\w+)  ", r.stdout.decode(), re.M) == COMMANDS
    assert microvm("--help").stdout == r.stdout
    assert microvm().returncode == 125


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(microvm, command):
    r = microvm("help", command)
    text = r.stdout.decode()
    assert r.returncode == 0 and text.startswith("Usage: microvm %s" % command)
    assert microvm(command, "--help").stdout == r.stdout
    assert microvm(command, "-h").stdout == r.stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "Examples:" in text or command in ("info", "version", "help")


@pytest.mark.parametrize("args, message", [
    (["rnu"], "unknown command 'rnu': did you mean 'run'?"),
    (["doctr"], "unknown command 'doctr': did you mean 'doctor'?"),
    (["frobnicate"], "unknown command 'frobnicate'; 'microvm help' lists them"),
    (["-k", "x", "run"], "'-k' stands before the command"),
    (["help", "inf"], "unknown command 'inf': did you mean 'info'?"),
    (["version", "x"], "'x' is one word too many"),
    (["info", "--jsno"], "unknown flag --jsno: did you mean --json?"),
    (["run", "--memroy", "1G"], "unknown flag --memroy: did you mean --memory?"),
    (["run", "--mem=1G"], "unknown flag --mem: did you mean --memory?"),
    (["run", "--cmdline-onl"], "unknown flag --cmdline-onl: did you mean --cmdline-only?"),
    (["run", "--volume=a:b"], "unknown flag --volume"),
    (["run", "-z"], "unknown flag -z; 'microvm help run' lists them"),
    (["run", "--memory"], "--memory: the value (SIZE) is missing"),
    (["run", "-k"], "--kernel: the value (FILE) is missing"),
    (["run", "--vsock", "--cmdline", "x"],
     "--vsock: the value (uds=PATH|cid=N|uds=PATH,cid=N) is missing before '--cmdline'; one that"),
    (["run", "-k", "--memory", "1G"],
     "--kernel: the value (FILE) is missing before '--memory'"),
    (["run", "--name", "--", "true"], "--name: the value (NAME) is missing before '--'"),
    (["run", "--cmdline=--x", "--cmdline", "-x"], "--kernel: not given"),
    (["run", "-" + 4096 * "i"], "--kernel: not given"),
    (["run", "--tty=1"], "--tty takes no value"),
    (["run"], "--kernel: not given; a machine needs a bzImage or vmlinux"),
    (["run", "-k", "x", "-m", "3M"], "--memory: 3M is less than the smallest machine, 16M"),
    (["run", "-k", "x", "-m", "lots"], "--memory: 'lots' is not a size"),
    (["run", "-k", "x", "-c", "0"], "--cpus: 0 is less than the least, 1"),
    (["run", "-k", "x", "--console", "tv"], "--console: 'tv' is none of serial|virtio|none"),
    (["run", "-k", "x", "--timeout", "soon"], "--timeout: 'soon' is not a duration"),
    (["run", "-k", "x", "--disk", "d,rx"], "--disk: unknown option 'rx'"),
    (["run", "-k", "x", "--rng=perhaps"], "--rng: 'perhaps' is neither on nor off"),
    (["run", "-k", "x", "--cmdline-only"], "--cmdline-only: there is no cmdline"),
    (["run", "-k", "x", "--tty"], "--tty: standard input is no terminal"),
    (["run", "-k", "x", "--net", "tap"], "--net: 'tap' needs a value"),
    (["run", "-k", "x", "--stats", "/nowhere/s"], "--stats /nowhere/s: No such file"),
    (["run", "./alpine"], "'./alpine': No such file or directory"),
    (["run", "--config", "/nowhere/vm.json"], "configuration '/nowhere/vm.json'"),
    (["completion"], "completion: name one shell"),
    (["completion", "fsh"], "completion: unknown shell 'fsh'"),
])
def test_each_mistake_has_its_message(microvm, args, message):
    assert microvm.refuses(*args).startswith(message)


def test_a_missing_kernel_is_named(kvm):
    message = kvm.refuses("run", "-k", "/nowhere/vmlinuz")
    assert "/nowhere/vmlinuz" in message and "o such file" in message


def test_a_missing_disk_is_named(kvm, guest):
    message = kvm.refuses("run", "-k", guest("hi"), "--disk", "/nowhere/d.img")
    if message == "disk: left out of this build":
        pytest.skip(message)
    assert "/nowhere/d.img" in message and "o such file" in message


def test_what_is_no_kernel_is_refused(kvm, tmp_path):
    path = tmp_path / "text"
    path.write_bytes(b"just some text\n" * 100)
    assert "text" in kvm.refuses("run", "-k", path)


def test_info_json(microvm):
    r = microvm("info", "--json")
    info = json.loads(r.stdout)
    assert info["version"] in microvm("version").stdout.decode()
    usable = False
    for h in info["hypervisors"]:
        assert set(h) == {"name", "usable", "cpus_max", "features", "detail", "reason", "fix"}
        assert h["usable"] or h["reason"]
        cpus = h["cpus_max"]
        assert not h["usable"] or microvm("config", "-k", "x", "-c", cpus).returncode == 0
        usable = usable or h["usable"]
    assert r.returncode == (0 if usable else 1)
    assert microvm("doctor", "--json").stdout == r.stdout


def test_info_has_no_colours_in_a_pipe(microvm):
    r = microvm("info", TERM="xterm")
    assert b"\033" not in r.stdout and r.stdout.startswith(b"microvm ")


def test_config_defaults(microvm):
    config = json.loads(microvm("config", "--defaults").stdout)
    assert config["memory"] == "512M" and config["cpus"] == 1
    assert json.loads(microvm("config").stdout) == {}


def test_config_goes_round(microvm, tmp_path):
    args = ["-k", "vmlinuz", "--initrd", "i", "--cmdline", 'a="b" c', "--cmdline-only",
            "-m", "1536M", "-c", "2", "--rootfs", "r.img,ro", "--disk", "a,,b,id=x",
            "--disk=c,direct", "--console", "virtio", "--acpi", "off", "--rng=off",
            "--transport", "pci", "--timeout", "90", "--name", "n"]
    first = microvm("config", *args).stdout
    assert json.loads(first)["disks"] == [{"path": "a,b", "id": "x"},
                                          {"path": "c", "direct": True}]
    path = tmp_path / "vm.json"
    path.write_bytes(first)
    assert microvm("config", "--config", path).stdout == first
    assert microvm("config", "--config", "-", stdin=first).stdout == first


def test_flags_win_over_the_file_in_any_order(microvm, tmp_path):
    path = tmp_path / "vm.json"
    path.write_text('{"memory": "1G", "cpus": 2}')
    for args in (["-m", "2G", "--config", path], ["--config", path, "-m", "2G"]):
        assert json.loads(microvm("config", *args).stdout) == {"memory": "2G", "cpus": 2}


@pytest.mark.parametrize("text, message", [
    ('{"memroy": 1}', ": unknown key 'memroy': did you mean 'memory'?"),
    ('{"cpus": "2"}', ": cpus: wanted a number, found a string"),
    ('{\n  "cpus": 1,\n}', ":3:1: "),
])
def test_mistakes_in_files_name_the_place(microvm, tmp_path, text, message):
    path = tmp_path / "vm.json"
    path.write_text(text)
    assert message in microvm.refuses("config", "--config", path)


def test_full_disks_are_noticed(microvm):
    with open("/dev/full", "wb") as full:
        r = subprocess.run([microvm.path, "help", "run"], stdout=full, stderr=subprocess.PIPE)
    assert r.returncode == 125 and b"writing failed" in r.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_everything(microvm, shell):
    r = microvm("completion", shell)
    text = r.stdout.decode()
    assert r.returncode == 0
    for word in COMMANDS + ["kernel", "memory", "stats", "json", "serial virtio none"]:
        assert word in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=r.stdout, check=True)


def test_bash_completes(microvm, tmp_path):
    script = tmp_path / "microvm.bash"
    script.write_bytes(microvm("completion", "bash").stdout)

    def complete(*words):
        line = "source %s; COMP_WORDS=(microvm %s); COMP_CWORD=%d; _microvm; " \
               "echo ${COMPREPLY[@]}" % (script, " ".join(words), len(words))
        return subprocess.run(["bash", "-c", line], stdout=subprocess.PIPE,
                              check=True).stdout.decode().split()

    assert complete("ru") == ["run"]
    assert complete("run", "--kern") == ["--kernel"]
    assert complete("run", "--console", "v") == ["virtio"]
    assert complete("help", "comp") == ["completion"]
    assert complete("completion", "z") == ["zsh"]
