# SPDX-License-Identifier: MIT OR Apache-2.0
"""Tables of device figures: medians beside a base row, and what one operation costs."""
import statistics

# figure, unit, which is better, words
FIGURES = [
    ("blk_read_qd1", "us", "less", "disk 4 KiB random read, QD1"),
    ("blk_read_qd1.p99", "us", "less", "  p99"),
    ("blk_write_qd1", "us", "less", "disk 4 KiB random write, QD1"),
    ("blk_read_qd32", "IOPS", "more", "disk 4 KiB random read, QD32"),
    ("blk_read_seq", "MB/s", "more", "disk 1 MiB sequential read"),
    ("blk_write_seq", "MB/s", "more", "disk 1 MiB sequential write"),
    ("blk_flush", "us", "less", "disk 4 KiB write and flush"),
    ("blk_flush.p99", "us", "less", "  p99"),
    ("blk_flush_clean", "us", "less", "disk flush, nothing dirty"),
    ("net_ping", "us", "less", "TCP 64 B round trip"),
    ("net_ping.p99", "us", "less", "  p99"),
    ("net_send", "MB/s", "more", "TCP bulk, guest sends"),
    ("net_recv", "MB/s", "more", "TCP bulk, guest receives"),
    ("net_conn_us", "us", "less", "TCP connect and close"),
    ("net_conn_us.p99", "us", "less", "  p99"),
    ("net_conn", "/s", "more", "  rate"),
    ("vsock_ping", "us", "less", "vsock 64 B round trip, guest asks"),
    ("vsock_ping.p99", "us", "less", "  p99"),
    ("vsock_send", "MB/s", "more", "vsock bulk, guest sends"),
    ("vsock_recv", "MB/s", "more", "vsock bulk, guest receives"),
    ("vsock_conn_us", "us", "less", "vsock connect, guest to host"),
    ("vsock_conn_us.p99", "us", "less", "  p99"),
    ("vsock_conn", "/s", "more", "  rate"),
    ("vsockl_ping", "us", "less", "vsock 64 B round trip, host asks"),
    ("vsockl_ping.p99", "us", "less", "  p99"),
    ("vsockl_conn", "/s", "more", "vsock connect, host to guest"),
    ("rng", "MB/s", "more", "hwrng"),
    ("con_serial", "MB/s", "more", "serial console"),
    ("con_hvc", "MB/s", "more", "hvc0"),
    ("idle_switches", "/s", "less", "idle: voluntary context switches"),
    ("idle_helper", "/s", "less", "  of them the helper's (microvm-netd)"),
    ("idle_cpu", "%", "less", "idle: CPU of the VMM"),
    ("over_kb", "KiB", "less", "resident minus guest RAM, after I/O"),
    ("anon_kb", "KiB", "less", "  of it anonymous"),
    ("helper_kb", "KiB", "less", "  of it the helper's (microvm-netd)"),
    ("mem_touch", "us/page", "less", "first touch of a page"),
    ("sys_call", "us", "less", "getppid (kernel's own cost)"),
]
BETTER = {f: better for f, _, better, _ in FIGURES}
TEXT = {f: text for f, _, _, text in FIGURES}
TEXT.update({f: f"{TEXT[f[:-4]]}, p99" for f in TEXT if f.endswith(".p99")},
            net_conn="TCP connects", vsock_conn="vsock connects", anon_kb="anonymous memory outside guest RAM")

# figure, what is one operation in the unit that the guest counted, words
MIB = 1 << 20
OPERATIONS = [
    ("blk_read_qd1", 1, "disk read, QD1"), ("blk_write_qd1", 1, "disk write, QD1"),
    ("blk_read_qd32", 1, "disk read, QD32"),
    ("blk_read_seq", 1, "disk read, 1 MiB"), ("blk_write_seq", 1, "disk write, 1 MiB"),
    ("blk_flush", 1, "disk write and flush"), ("blk_flush_clean", 1, "disk flush, nothing dirty"),
    ("net_ping", 1, "TCP round trip"), ("net_send", MIB, "TCP send, 1 MiB"),
    ("net_recv", MIB, "TCP receive, 1 MiB"), ("net_conn", 1, "TCP connect"),
    ("vsock_ping", 1, "vsock round trip"), ("vsock_send", MIB, "vsock send, 1 MiB"),
    ("vsock_recv", MIB, "vsock receive, 1 MiB"), ("vsock_conn", 1, "vsock connect"),
    ("rng", 64, "hwrng, 64 B"), ("con_serial", 1, "serial, 1 byte"), ("con_hvc", 512, "hvc0, 512 B"),
]
OPERATION = {f: (per, text) for f, per, text in OPERATIONS}


def number(x):
    return f"{x:,.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.3g}"


def medians(report):
    """{row: {figure: median over the rounds}}"""
    return {row: {f: statistics.median(r[f] for r in rounds if f in r)
                  for f in {k for r in rounds for k in r} & set(BETTER)}
            for row, rounds in report["rows"].items()}


def per_operation(report, row, figure, event):
    """How often the event happened per operation, or None."""
    counts = report.get("count", {}).get(row, {}).get("counts", {}).get(figure)
    if not counts or event not in counts:
        return None
    return counts[event] * OPERATION[figure][0] / counts["n"]


def table(report, base, spread):
    """Markdown: median, and in brackets the ratio to the base row."""
    rows, med = list(report["rows"]), medians(report)
    base = base if base in rows else rows[0]
    print(f"| figure (x: ratio to {base}) | unit | better | " + " | ".join(rows) + " |")
    print("|---|---|---|" + "---|" * len(rows))
    for figure, unit, better, text in FIGURES:
        if any(figure in med[r] for r in rows):
            print(f"| {text} | {unit} | {better} | "
                  + " | ".join(cell(report, med, r, base, figure, spread) for r in rows) + " |")


def cell(report, med, row, base, figure, spread):
    if figure not in med[row]:
        return "-"
    text, below = number(med[row][figure]), med[base].get(figure)
    if below and row != base:
        ratio = med[row][figure] / below
        text += f" (x{ratio:.2f})" if ratio >= 0.1 else f" (x{ratio:.1g})"
    if spread:
        values = [r[figure] for r in report["rows"][row] if figure in r]
        text += f" [{number(min(values))}..{number(max(values))}]"
    return text


def table_counts(report):
    rows = [r for r, got in report.get("count", {}).items() if got.get("counts")]
    if not rows:
        return
    print("\n| exits to the VMM / sleeps of its threads / system calls | " + " | ".join(rows) + " |")
    print("|---|" + "---|" * len(rows))
    for figure, _, text in OPERATIONS:
        cells = []
        for row in rows:
            got = [per_operation(report, row, figure, e) for e in ("exits", "sleeps", "calls")]
            cells.append("-" if None in got else " / ".join("0" if not x else f"{x:,.0f}" if x >= 100 else f"{x:.2g}" for x in got))
        if any(c != "-" for c in cells):
            print(f"| {text} | " + " | ".join(cells) + " |")


def table_calls(report):
    """Which system calls an operation makes."""
    for row, got in report.get("count", {}).items():
        for figure, _, text in OPERATIONS:
            cost = got.get("counts", {}).get(figure, {})
            calls = {e[5:]: per_operation(report, row, figure, e) for e in cost if e.startswith("call.") and cost[e]}
            calls["other"] = per_operation(report, row, figure, "calls") - sum(calls.values()) if cost else 0
            if cost:
                print(f"{row}, {text}: " + ", ".join(f"{c} {n:.2g}" for c, n in sorted(calls.items(), key=lambda kv: -kv[1])
                                                    if n >= 0.01 * max(calls.values())))


def failures(report):
    """Lines about runs and figures that failed."""
    runs = [(row, r) for row, rounds in report["rows"].items() for r in rounds] + list(report.get("count", {}).items())
    for row, r in runs:
        if "error" in r:
            yield f"{row}: {r['error']}\n{r.get('output', '')[-800:]}"
        for figure, why in r.get("errors", {}).items():
            yield f"{row}: {figure}: {why}"
