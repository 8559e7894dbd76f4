# SPDX-License-Identifier: MIT OR Apache-2.0
"""The documents name what the program has, and nothing that it has not."""
import os
import re
import shutil
import subprocess

import pytest

from test_cli import COMMANDS

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def described(page):
    """The flags that a manual page has paragraphs of."""
    page = read("docs/man/" + page).replace("\\-", "-")
    return set(re.findall(r"^\.B\w* (?:-\w \", \" )?--([\w-]+)", page, re.M))


def flags(microvm, *commands):
    found = set()
    for command in commands:
        text = microvm("help", command).stdout.decode()
        found |= set(re.findall(r"^  (?:-\w, |    )--([\w-]+)", text, re.M))
    return found


def test_the_manual_page_names_every_flag(microvm):
    assert described("microvm.1") == flags(microvm, *COMMANDS)


def test_the_builders_page_names_every_flag_of_a_kernel(microvm_build):
    assert flags(microvm_build, "kernel") - described("microvm-build.1") == {"help"}


def test_the_manual_page_and_the_guide_name_every_command(microvm):
    for path in ["docs/man/microvm.1", "docs/user-guide.md"]:
        text = read(path)
        assert [c for c in COMMANDS if not re.search(r"\b%s\b" % c, text)] == []


def test_the_user_guide_names_every_flag(microvm):
    guide = read("docs/user-guide.md")
    used = set(re.findall(r"--([a-z][\w-]+)", guide))
    assert flags(microvm, "run") - used == {"help"}


@pytest.mark.parametrize("path", ["README.md", "docs/user-guide.md"])
def test_examples_parse(microvm, path):
    """Each `microvm run` and `microvm config` line of the documents has good flags."""
    lines = [m for line in read(path).splitlines() if line.startswith("    ")
             for m in re.findall(r"(?:^|[ |$])microvm (?:run|config) ([^#>|;&]*)", line)]
    assert len(lines) >= 4
    for line in lines:
        words = ["sh", "-c", 'exec "$MICROVM" run --kernel /nowhere %s' % line]
        r = subprocess.run(words, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           stdout=subprocess.PIPE, timeout=10,
                           env=dict(os.environ, MICROVM=microvm.path))
        assert b"flag" not in r.stderr and b"none of" not in r.stderr, (line, r.stderr)


@pytest.mark.parametrize("page", ["microvm.1", "microvm-build.1"])
def test_the_manual_page_is_well_formed(page):
    if not shutil.which("groff"):
        pytest.skip("groff is not installed")
    r = subprocess.run(["groff", "-man", "-ww", "-Tutf8", "-z",
                        os.path.join(ROOT, "docs/man", page)], stderr=subprocess.PIPE)
    assert r.returncode == 0 and r.stderr == b""
