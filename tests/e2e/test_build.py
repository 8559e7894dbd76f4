# SPDX-License-Identifier: MIT OR Apache-2.0
"""microvm-build's command line: its help, its refusals, its completions."""
import re
import shutil
import subprocess

import pytest

COMMANDS = ["image", "cache", "kernel", "version", "help", "completion"]


def test_version(microvm_build):
    r = microvm_build("version")
    assert r.returncode == 0 and r.stderr == b""
    assert re.fullmatch(rb"microvm-build \d+\.\d+\.\d+\n", r.stdout)
    assert microvm_build("--version").stdout == r.stdout


def test_help_lists_every_command(microvm_build):
    r = microvm_build("help")
    assert r.returncode == 0 and r.stdout.startswith(b"Usage: microvm-build")
    assert re.findall(r"^  (\w+)  ", r.stdout.decode(), re.M) == COMMANDS
    assert microvm_build("--help").stdout == r.stdout
    assert microvm_build().returncode == 125


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(microvm_build, command):
    r = microvm_build("help", command)
    text = r.stdout.decode()
    name = "[image]" if command == "image" else command
    assert r.returncode == 0 and text.startswith("Usage: microvm-build %s" % name)
    assert microvm_build(command, "--help").stdout == r.stdout
    assert max(map(len, text.splitlines())) <= 80
    assert "Examples:" in text or command in ("version", "help")


@pytest.mark.parametrize("args, message", [
    (["kernle"], "unknown command 'kernle': did you mean 'kernel'?"),
    (["kernel", "--foo"], "unknown flag --foo; 'microvm-build help kernel' lists them"),
    (["--tenplate", "x"], "unknown flag --tenplate: did you mean --template?"),
    (["image", "--output"], "--output: the value (FILE) is missing"),
    (["completion", "bsh"], "completion: unknown shell 'bsh': did you mean 'bash'?; "
                            "there are bash, zsh and fish"),
])
def test_refusals(microvm_build, args, message):
    assert microvm_build.refuses(*args) == message


def test_an_image_needs_no_word(microvm_build, tmp_path):
    args = ("--base", "scratch", "--output", tmp_path / "image")
    assert microvm_build(*args).stderr == microvm_build("image", *args).stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_everything(microvm_build, shell):
    r = microvm_build("completion", shell)
    text = r.stdout.decode()
    assert r.returncode == 0
    for word in COMMANDS + ["template", "output"]:
        assert word in text
    assert "microvm " not in text
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=r.stdout, check=True)


def test_bash_completes(microvm_build, tmp_path):
    script = tmp_path / "microvm-build.bash"
    script.write_bytes(microvm_build("completion", "bash").stdout)

    def complete(*words):
        line = "source %s; COMP_WORDS=(microvm-build %s); COMP_CWORD=%d; " \
               "_microvm-build; echo ${COMPREPLY[@]}" % (script, " ".join(words), len(words))
        return subprocess.run(["bash", "-c", line], stdout=subprocess.PIPE,
                              check=True).stdout.decode().split()

    assert complete("ker") == ["kernel"]
    assert complete("--temp") == ["--template"]
    assert complete("--base", "scratch", "--outp") == ["--output"]
    assert complete("image", "--templ") == ["--template"]
