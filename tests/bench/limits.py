# SPDX-License-Identifier: MIT OR Apache-2.0
"""What our rows have to keep, judged on a report of bench_dev.py: one line each,
`ok`, `MISSED` or `not run` with the reason.

Counts, memory and wake-ups hold on a busy machine too; times are judged beside the
other rows of the same run, never alone (but for one that the specification has). Two
words of the table: "ahead" is better than every other VMM of the same run, "xROW" a
multiple of that row's median.
"""
from device_report import BETTER, OPERATION, TEXT, medians, number, per_operation

MMIO, PCI, USER = "microvm-mmio", "microvm-pci", "microvm-user-net"

# row, figure, event, at most per operation
COUNTS = [
    (PCI, "blk_read_qd1", "exits", 0.15),
    (PCI, "blk_read_qd1", "sleeps", 1.3),
    (PCI, "blk_read_qd32", "exits", 0.003),
    (PCI, "blk_read_qd32", "calls", 0.25),
    (PCI, "blk_read_seq", "exits", 0.06),
    (PCI, "blk_read_seq", "calls", 7),
    (PCI, "blk_flush", "exits", 0.35),
    (PCI, "net_ping", "sleeps", 3),
    (PCI, "net_ping", "calls", 10),
    (PCI, "net_send", "sleeps", 15),
    (PCI, "net_send", "calls", 30),
    # What MMIO costs (reading InterruptStatus is an exit; KVM takes InterruptACK), so that
    # it does not grow.
    (MMIO, "blk_read_qd1", "exits", 1.15),
    (MMIO, "blk_read_qd32", "exits", 0.04),
    (MMIO, "blk_read_qd32", "calls", 0.4),
    (MMIO, "blk_read_qd1", "calls", 7),
    (MMIO, "blk_read_seq", "exits", 1.15),
    (MMIO, "blk_read_seq", "calls", 7.5),
    (MMIO, "con_serial", "exits", 0.3),
    (MMIO, "con_serial", "calls", 1),
    (MMIO, "blk_flush", "exits", 2.3),
]

# rows, figure, at most; with a network the machine may be larger
PLAIN = [
    ((MMIO, PCI), "over_kb", 3072, 4096),
    ((MMIO, PCI), "anon_kb", 1024, 1229),
    ((MMIO, PCI), "idle_switches", 1.2, 1.2),
    # libslirp's slow timers, for some seconds after the last connection was closed.
    ((USER,), "idle_helper", 0.1, 2.2),
]

# Goals that are missed today (docs/performance.md, "Goals", says by how much and why): a full
# run says so, a quick one, which CI runs on whatever machine it gets, sees only that it
# grows no worse.
NOT_YET = {("net_send", "sleeps"): 25, ("net_send", "calls"): 60, ("idle_switches", None): 3}

# row, figure, "ahead" or (factor, row): at least that multiple where more is better, at
# most where less is
DISK = ("blk_read_qd1", "blk_write_qd1", "blk_read_qd32", "blk_read_seq", "blk_write_seq", "blk_flush")
TCP = ("net_ping", "net_ping.p99", "net_send", "net_recv", "net_conn_us")
RATIOS = [(PCI, f, "ahead") for f in DISK + TCP] + [
    (PCI, "blk_read_seq", (6.82, "firecracker")),
    (PCI, "blk_write_seq", (6.9, "firecracker")),
    (PCI, "con_serial", (3, "firecracker")),
    (PCI, "con_hvc", (1.5, "qemu-microvm")),
    (PCI, "vsock_send", (4, "firecracker")),
    (PCI, "vsock_recv", (4, "firecracker")),
    (PCI, "vsock_ping", (0.85, "firecracker")),
    (PCI, "vsockl_ping", (0.85, "firecracker")),
    (PCI, "vsock_conn_us", (1, "firecracker")),
    (PCI, "vsockl_conn", (1, "firecracker")),
    (PCI, "vsock_send", (1, PCI, "net_send")),
    (PCI, "vsock_ping", (1.1, PCI, "net_ping")),
    (PCI, "vsockl_ping", (1.1, PCI, "net_ping")),
    (USER, "net_send", (5, "qemu-user-net")),
    (USER, "net_recv", (5, "qemu-user-net")),
    (USER, "net_ping", (1, "qemu-user-net")),
    (USER, "net_send", (0.9, "netd-alone")),
    (USER, "net_recv", (0.9, "netd-alone")),
]
# row, figure, bound: what the specification promises whatever others do
PROMISES = [(PCI, "vsock_ping", 1000), (PCI, "vsockl_ping", 1000), (USER, "net_send", 62.5), (USER, "net_recv", 62.5)]


def verdict(keeps, words):
    return ("ok" if keeps else "MISSED"), words


def keeps(figure, value, bound):
    return value <= bound if BETTER[figure] == "less" else value >= bound


def bound_words(figure, bound):
    return f"at {'most' if BETTER[figure] == 'less' else 'least'} {number(bound)}"


def goal(figure, event, most, quick):
    return NOT_YET.get((figure, event), most) if quick else most


def judge_counts(report, quick=False):
    for row, figure, event, most in COUNTS:
        most = goal(figure, event, most, quick)
        got = per_operation(report, row, figure, event)
        text = f"{row}: {event} per {OPERATION[figure][1]}"
        if got is None:
            yield "not run", text
        else:
            yield verdict(got <= most, f"{text}: {got:.3g}, at most {most:g}")


def missed_counts(report, quick=False):
    """{row: figures whose counts are over a limit}"""
    missed = {}
    for row, figure, event, most in COUNTS:
        most = goal(figure, event, most, quick)
        got = per_operation(report, row, figure, event)
        if got is not None and got > most:
            missed.setdefault(row, set()).add(figure)
    return missed


def judge_plain(report, med, quick=False):
    for rows, figure, alone, connected in PLAIN:
        for row in rows:
            text, got = f"{row}: {TEXT[figure]}", med.get(row, {}).get(figure)
            if got is None:
                yield "not run", text
            else:
                most = goal(figure, None, connected if "net_ping" in med[row] else alone, quick)
                yield verdict(got <= most, f"{text}: {number(got)}, at most {number(most)}")


def rivals(med, row, figure):
    """{other VMM's row: median}; ours and the row without a VM are none."""
    return {r: m[figure] for r, m in med.items() if figure in m and not r.startswith("microvm") and r not in ("native", "netd-alone")
            and r.endswith("user-net") == row.endswith("user-net")}


def judge_ratios(med):
    for row, figure, what in RATIOS:
        text, got = f"{row}: {TEXT[figure]}", med.get(row, {}).get(figure)
        if what == "ahead":
            others = rivals(med, row, figure)
            best = (min if BETTER[figure] == "less" else max)(others, key=others.get, default=None)
            bound, name = others.get(best), f"the best other, {best}" if best else "others"
        else:
            factor, other = what[0], what[1]
            below = med.get(other, {}).get(what[2] if len(what) > 2 else figure)
            bound = below and below * factor
            name = (f"{other}'s" if factor == 1 else f"{factor:g} times {other}'s") + (f" {TEXT[what[2]]}" if len(what) > 2 else "")
        if got is None or bound is None:
            yield "not run", f"{text}, beside {name}"
        else:
            yield verdict(keeps(figure, got, bound), f"{text}: {number(got)}, {bound_words(figure, bound)} ({name})")


def judge_promises(med):
    for row, figure, bound in PROMISES:
        text, got = f"{row}: {TEXT[figure]}", med.get(row, {}).get(figure)
        if got is None:
            yield "not run", text
        else:
            yield verdict(keeps(figure, got, bound), f"{text}: {number(got)}, {bound_words(figure, bound)}")


def judge(report, counts_only):
    """[(verdict, words)]. A quick run gives its counting round for the rest."""
    med = medians({"rows": report["rows"] if any(report["rows"].values())
                   else {r: [got] for r, got in report.get("count", {}).items()}})
    found = [*judge_counts(report, counts_only), *judge_plain(report, med, counts_only)]
    return found if counts_only else [*found, *judge_ratios(med), *judge_promises(med)]


def show(found):
    """Prints the lines; how many limits were missed and how many judged."""
    for what, words in found:
        print(f"{what:<8} {words}")
    missed, ran = sum(w == "MISSED" for w, _ in found), sum(w != "not run" for w, _ in found)
    print(f"limits: {ran} judged, {missed} missed, {len(found) - ran} not run")
    return missed, ran
