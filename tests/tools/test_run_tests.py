# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tests of tools/run-tests.py: what it counts, and that nothing is silently green."""
import importlib.util
import os

import pytest

ROOT = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "..")
spec = importlib.util.spec_from_file_location(
    "run_tests", os.path.join(ROOT, "tools", "run-tests.py"))
run_tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(run_tests)

TAP = "1..4\nok 1 - one\nnot ok 2 - two\n# failed here\nnot ok 3 # SKIP three\nok 4 - x\n"


def numbers(count):
    return count.passed, count.failed, count.skipped


@pytest.mark.parametrize("text,want", [
    ("", (0, 0, 0)),
    (TAP, (2, 1, 1)),
    (TAP.replace("\n", "\r\n"), (2, 1, 1)),
    (TAP + "1..1\nok 1 - second group\n", (3, 1, 1)),
    ("ok 1 - no plan, so no TAP\n", (0, 0, 0)),
    ("====== 3 passed, 1 failed, 2 skipped in 0.12s ======\n", (3, 1, 2)),
    ("1 failed, 3 passed in 0.12s\n", (3, 1, 0)),
    ("22 passed, 0 failed\nlast words\n", (22, 0, 0)),
    ("we passed\n", (0, 0, 0)),
])
def test_output_is_counted(text, want):
    assert numbers(run_tests.count_output(text)) == want


@pytest.mark.parametrize("result,text,want", [
    ("OK", "", (1, 0, 0)),
    ("OK", "1..2\nok 1 - a\nok 2 - b\n", (2, 0, 0)),
    ("OK", "1..1\nnot ok 1 # SKIP a\n", (0, 0, 1)),
    ("OK", "1..1\nnot ok 1 - exit status lies\n", (0, 1, 0)),
    ("FAIL", "", (0, 1, 0)),
    ("FAIL", "1..2\nok 1 - a\n", (1, 1, 0)),
    ("FAIL", TAP, (2, 1, 1)),
    ("TIMEOUT", "1..2\nok 1 - a\n", (1, 1, 0)),
    ("ERROR", "", (0, 1, 0)),
    ("UNEXPECTEDPASS", "", (0, 1, 0)),
    ("SKIP", "no /dev/kvm here\n", (0, 0, 1)),
])
def test_result_is_counted(result, text, want):
    assert numbers(run_tests.count_test({"result": result, "stdout": text})) == want


def test_reason_of_a_skip_is_told():
    told = run_tests.reason({"stdout": "a\nSKIP: no /dev/kvm\nb\n"})
    assert told == "SKIP: no /dev/kvm"
    assert run_tests.reason({"stdout": "no /dev/kvm\n"}) == "no /dev/kvm"
    assert run_tests.reason({}) == "no reason was given"
    tap = "1..3\nnot ok 1 # SKIP a\n# skipped: no KVM\nok 2 - b\nok 3 # skip c\n"
    assert run_tests.reason({"stdout": tap}) == "# skipped: no KVM; a, c"


def summary(tmp_path, monkeypatch, stages, argv=()):
    monkeypatch.setattr(run_tests, "ROOT", str(tmp_path))
    monkeypatch.setattr(run_tests, "STAGES", stages)
    monkeypatch.setattr(run_tests, "kernel_environment", dict)
    monkeypatch.setattr(run_tests.sys, "argv", ["run-tests.py", *argv])
    status = run_tests.main()
    path = tmp_path / "build" / "test-summary.txt"
    return status, path.read_text() if path.exists() else None


def test_stages_are_added_up(tmp_path, monkeypatch):
    count = run_tests.Count
    stages = {"a": lambda: count(2), "b": lambda: count(1, 0, 3), "c": lambda: count(0, 1)}
    assert summary(tmp_path, monkeypatch, stages) == (1, "3 passed, 1 failed, 3 skipped\n")
    assert summary(tmp_path, monkeypatch, stages, ["a"]) == (0, "2 passed, 0 failed\n")
    assert summary(tmp_path, monkeypatch, stages, ["nosuch"])[0] == 2


def test_a_run_without_tests_fails(tmp_path, monkeypatch):
    stages = {"a": lambda: run_tests.Count(0, 0, 5)}
    assert summary(tmp_path, monkeypatch, stages) == (1, "0 passed, 1 failed, 5 skipped\n")
