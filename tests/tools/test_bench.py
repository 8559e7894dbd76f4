# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tests of tests/bench: that every limit can be judged, missed and kept, and says when it
was not; that a row's flags follow the help text of the program."""
import argparse
import os
import sys
from types import SimpleNamespace

import pytest

BENCH = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "bench")
sys.path.insert(0, BENCH)
import common  # noqa: E402
import device_report  # noqa: E402
import limits  # noqa: E402
import vmms  # noqa: E402

ROWS = ["native", "netd-alone", "firecracker", "qemu-microvm", "qemu-user-net", limits.MMIO, limits.PCI, limits.USER]


def a_report(ours, others, per_operation):
    """Every figure of every row: `ours` and `others` of less, their inverse of more."""
    def figures(value):
        return {f: value if device_report.BETTER[f] == "less" else 1e4 / value for f in device_report.BETTER}

    counts = {f: {"n": 1 << 20, **{e: per_operation * (1 << 20) / device_report.OPERATION[f][0]
                                    for e in ("exits", "sleeps", "calls")}}
              for f in device_report.OPERATION}
    rows = {r: [figures(ours if r.startswith("microvm") else others)] for r in ROWS}
    return {"rows": rows, "count": {r: {"counts": counts} for r in ROWS}}


def test_the_program_may_be_named_from_here():
    ap = argparse.ArgumentParser()
    common.add_arguments(ap, 64)
    opt = ap.parse_args(["--microvm", "build/cli/microvm"])
    assert opt.microvm == os.path.join(os.getcwd(), "build/cli/microvm")


def verdicts(report, **kw):
    return [v for v, _ in limits.judge(report, kw.get("counts_only", False))]


def test_all_limits_are_kept_by_a_perfect_vmm():
    report = a_report(0.01, 1000, 0.0001)
    for figure in ("vsock_send", "vsock_ping", "vsockl_ping"):  # beside our own TCP
        for r in report["rows"].values():
            r[0][figure] *= 2 if figure == "vsock_send" else 0.5
    assert set(verdicts(report)) == {"ok"}


def test_all_limits_are_missed_by_a_bad_one():
    found = limits.judge(a_report(1e6, 1, 1e5), False)
    kept = [words for verdict, words in found if verdict != "MISSED"]
    assert all("microvm-pci's" in words for words in kept), kept  # beside itself it is no worse


def test_what_was_not_measured_is_not_ok():
    empty = {"rows": {r: [] for r in ROWS}, "count": {}}
    assert set(verdicts(empty)) == {"not run"}


def test_the_base_row_alone_is_no_rival():
    report = a_report(1, 1000, 0.0001)
    report["rows"] = {r: x for r, x in report["rows"].items() if r in ("native", limits.PCI)}
    ahead = [v for v, words in limits.judge(report, False) if "beside others" in words]
    assert ahead and set(ahead) == {"not run"}


def test_missed_counts_name_their_figures():
    assert limits.missed_counts(a_report(1, 1, 1e5))[limits.PCI] >= {"blk_read_qd1", "net_send"}
    assert limits.missed_counts(a_report(1, 1, 0.0001)) == {}


HELP = """Usage: microvm run

      --disk FILE             A disk
      --transport MODE        How devices are found:
                              auto|mmio|pci (default auto)
      --net KIND              Network: user|none or
                              tap=NAME
"""


@pytest.mark.parametrize("text,flag,word,want", [
    (HELP, "--transport", "pci", True), (HELP, "--net", "tap", True), (HELP, "--net", "user", True),
    (HELP, "--vsock", "", False), (HELP, "--disk", "pci", False), (HELP.replace("tap=NAME", ""), "--net", "tap", False),
])
def test_flags_are_those_of_the_help_text(tmp_path, text, flag, word, want):
    program = tmp_path / "microvm"
    program.write_text("#!/bin/sh\ncat <<'E'\n" + text + "E\n")
    program.chmod(0o755)
    row = vmms.Microvm(SimpleNamespace(microvm=str(program)), "microvm-pci", transport="pci")
    assert row.offers(flag, word) == want


def test_the_virtio_console_gets_a_machine_of_its_own():
    row = vmms.Microvm(SimpleNamespace(microvm=""), "microvm-mmio")
    assert row.machines(["blk", "hvc", "mem"]) == [["blk", "mem"], ["hvc"]]
    assert row.machines(["blk"]) == [["blk"]]
