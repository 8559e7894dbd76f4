#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Runs the test stages and adds up what they counted.

Usage: run-tests.py [STAGE...]        all stages, in the order below, when none is named

A stage that cannot run here, a skipped test and a suite without tests are each named
with the reason; nothing is silently green. The last line is "N passed, N failed" with
", N skipped" when there are any; the same line goes to build/test-summary.txt. The exit
status is 0 only when something passed and nothing failed. docs/testing.md describes the
suites.
"""
import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), ".."))
JOBS = os.environ.get("JOBS") or str(os.cpu_count())
QUICK = ["unit", "device", "hv", "mini", "replay"]
# Every part that an option can leave out.
LEAST = ["-D%s=disabled" % part for part in (
    "cli", "examples", "kvm", "io_uring", "libarchive", "netd", "image", "virtio_blk",
    "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon", "virtio_vsock")]
MESON_SUITE = {"replay": "fuzz"}  # `fuzz` is our name for the timed run
TAIL_LINES = 60
PROGRESS = r"^ *\d+/\d+ .*\d+s\b"  # meson's line for a test that ended


class Count:
    def __init__(self, passed=0, failed=0, skipped=0):
        self.passed, self.failed, self.skipped = passed, failed, skipped

    def add(self, other):
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self):
        text = "%d passed, %d failed" % (self.passed, self.failed)
        return text + (", %d skipped" % self.skipped if self.skipped else "")


def say(text):
    print(text, flush=True)


def tail(text, lines=TAIL_LINES):
    return "\n".join("    | " + t for t in text.rstrip().splitlines()[-lines:])


def run(command, log=None, show=None, **env):
    """Runs without standard input, showing lines that match; (exit status, output)."""
    p = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         env=dict(os.environ, **env))
    text = ""
    for line in p.stdout:
        line = line.decode(errors="replace")
        text += line
        if show and re.search(show, line):
            say("   " + line.strip())
    if log:
        with open(os.path.join(ROOT, log), "w") as f:
            f.write(text)
    return p.wait(), text


def one(name, command, **env):
    """A stage's step that either passes or fails as a whole."""
    status, text = run(command, **env)
    if status == 0:
        return Count(passed=1)
    say("FAILED: %s (%s)\n%s" % (name, " ".join(command[:3]), tail(text)))
    return Count(failed=1)


# ---- what a test program said ----

TAP_LINE = re.compile(r"^(not )?ok \d+\b(.*)$", re.M)
CLOSING_LINE = re.compile(r"\b(\d+) (passed|failed|skipped)\b")


def count_output(text):
    """Cases in a program's output: TAP (cmocka), or a closing line as pytest's."""
    text = text.replace("\r", "")
    if re.search(r"^1\.\.\d+", text, re.M):
        count = Count()
        for bad, rest in TAP_LINE.findall(text):
            if "# SKIP" in rest.upper():
                count.skipped += 1
            elif bad:
                count.failed += 1
            else:
                count.passed += 1
        return count
    for line in reversed(text.splitlines()):
        words = dict((w, int(n)) for n, w in CLOSING_LINE.findall(line))
        if "passed" in words or "failed" in words:
            return Count(words.get("passed", 0), words.get("failed", 0),
                         words.get("skipped", 0))
    return Count()


def count_test(test):
    """One line of meson's testlog.json."""
    count = count_output(test.get("stdout") or "")
    result = test["result"]
    if result in ("OK", "EXPECTEDFAIL"):
        said_nothing = not (count.passed or count.failed or count.skipped)
        count.passed += 1 if said_nothing else 0
    elif result == "SKIP":
        count = Count(skipped=1)
    else:
        count.failed = count.failed or 1
    return count


def reason(test):
    """Why a test was skipped: what it said of it, and the cases that TAP names."""
    said = ((test.get("stdout") or "") + "\n" + (test.get("stderr") or "")).splitlines()
    said = [t.strip() for t in said if t.strip()]
    cases = [re.split("# SKIP *", t, flags=re.I)[1] for t in said
             if TAP_LINE.match(t) and "# SKIP" in t.upper()]
    words = [t for t in said if re.search("skip", t, re.I) and not TAP_LINE.match(t)]
    if not cases and not words:
        words = said[-1:] or ["no reason was given"]
    return "; ".join(dict.fromkeys(words + ([", ".join(cases)] if cases else [])))


def count_log(directory, label):
    """Adds up a build directory's testlog.json and tells what was not green."""
    total = Count()
    path = os.path.join(ROOT, directory, "meson-logs", "testlog.json")
    if not os.path.exists(path):
        return total
    with open(path) as f:
        tests = [json.loads(line) for line in f]
    for t in tests:
        count = count_test(t)
        total.add(count)
        name = t["name"].split(":")[-1].split(" / ")[-1]
        if count.skipped:
            say("SKIPPED: %s/%s: %s" % (label, name, reason(t)))
        if count.failed:
            said = (t.get("stdout") or "") + "\n" + (t.get("stderr") or "")
            say("FAILED: %s/%s: %s\n%s" % (label, name, t["result"], tail(said)))
    return total


# ---- builds ----

built = {}
patched = None  # where the patched libslirp is, "" when there is none


def patched_libslirp():
    global patched
    if patched is None:
        status, text = run(["tools/libslirp.sh"])
        patched = text.strip().splitlines()[-1] if status == 0 else ""
        if status:
            say("NOT BUILT: microvm-netd: %s" % tail(text))
        status, text = run(["tools/guest-jansson.sh"])
        if status:
            say("NOT BUILT: vpnd: %s" % tail(text))
    return patched


def build(directory, *options):
    """Configures and compiles; True when both went well. Once per run."""
    if directory in built:
        return built[directory]
    path = os.path.join(ROOT, directory)
    setup = ["meson", "setup", directory, "-Dwerror=true", "-Dtests=enabled"]
    if patched_libslirp():
        setup += ["--pkg-config-path", patched_libslirp()]
    if os.path.exists(os.path.join(path, "build.ninja")):
        setup.append("--reconfigure")
    os.makedirs(path, exist_ok=True)
    status, text = run(setup + list(options), directory + "/setup.log")
    if status == 0:
        status, text = run(["ninja", "-j", JOBS, "-C", directory],
                           directory + "/build.log")
        errors = re.search(r"^FAILED:.*", text, re.M | re.S)
        text = errors.group() if errors else text
    if status:
        say("FAILED: %s does not build\n%s" % (directory, tail(text)))
    built[directory] = status == 0
    return built[directory]


def suites_of(directory):
    status, text = run(["meson", "introspect", "--tests", directory])
    tests = json.loads(text) if status == 0 else []
    return {s.split(":")[-1] for t in tests for s in t["suite"]}


def suite(directory, name, label):
    meson_name = MESON_SUITE.get(name, name)
    if meson_name not in suites_of(directory):
        say("%s: no tests yet" % label)
        return Count()
    log = os.path.join(ROOT, directory, "meson-logs", "testlog.json")
    if os.path.exists(log):
        os.unlink(log)
    status, text = run(
        ["meson", "test", "-C", directory, "--no-rebuild", "--suite", meson_name,
         "--num-processes", JOBS], directory + "/test-%s.log" % name, PROGRESS,
        CMOCKA_MESSAGE_OUTPUT="TAP", **kernel_environment())
    total = count_log(directory, label)
    if status and not total.failed:
        say("FAILED: %s: meson test ended with %d\n%s" % (label, status, tail(text)))
        total.failed += 1
    return total


# Kernels that tests take from the environment, and where they are packed when they
# stand beside the source tree: docs/testing.md.
KERNELS = {
    "MICROVM_RING3_KERNEL": ("ring3/vmlinux-r3.xz", "vmlinux-r3"),
    "MICROVM_LEAN_KERNEL": ("kernels/vmlinux-lean-x86_64.xz", "vmlinux-lean"),
}


def kernel_environment():
    """Unpacks the kernels that are there and nobody has named yet."""
    found = {}
    for variable, (packed, plain) in KERNELS.items():
        packed = os.path.join(ROOT, "..", "shared", "testbed", packed)
        plain = os.path.join(ROOT, "build", plain)
        if os.environ.get(variable) or not os.path.exists(packed):
            continue
        if not os.path.exists(plain):
            with open(plain + ".new", "wb") as f:
                subprocess.run(["xz", "-dc", packed], stdout=f, check=True)
            os.rename(plain + ".new", plain)
        found[variable] = plain
    return found


# ---- stages ----


def stage_check():
    total = one("rules", ["tools/check.py"])
    total.add(one("clang-format", ["tools/format.sh", "--check"]))
    junit = os.path.join(ROOT, "build", "tools.xml")
    status, text = run([sys.executable, "-m", "pytest", "-q", "tests/tools",
                        "--junitxml", junit])
    cases = list(ElementTree.parse(junit).getroot().iter("testcase"))
    bad = [c for c in cases if c.find("failure") is not None
           or c.find("error") is not None]
    skipped = [c for c in cases if c.find("skipped") is not None]
    total.add(Count(len(cases) - len(bad) - len(skipped), len(bad), len(skipped)))
    if status:
        say("FAILED: tests/tools\n" + tail(text))
        total.failed += 0 if bad else 1
    return total


def native(name):
    def stage():
        if not build("build"):
            return Count(failed=1)
        return suite("build", name, name)
    return stage


def variant(directory, names, *options):
    """Some suites in a build with other options."""
    def stage():
        if not build(directory, "-Dstatic_cli=false", *options):
            return Count(failed=1)
        total = Count()
        for name in names:
            total.add(suite(directory, name, directory.split("-")[-1] + " " + name))
        return total
    return stage


def stage_fuzz():
    status, text = run(["tools/fuzz.sh"], show=".")
    ok = len(re.findall(r"^fuzz: \w+: \d+ inputs, nothing found", text, re.M))
    bad = len(re.findall(r"^fuzz: \w+: FOUND SOMETHING", text, re.M))
    return Count(ok, bad or (1 if status else 0))


def stage_cross():
    total = Count()
    targets = sorted(f[:-4] for f in os.listdir(os.path.join(ROOT, "cross")))
    for t in targets:
        status, text = run(["tools/cross.sh", t], show=".", CMOCKA_MESSAGE_OUTPUT="TAP")
        compiled = "cross: %s: compiles" % t in text
        total.add(Count(passed=1) if compiled else Count(failed=1))
        tests = count_log("build-cross-" + t, t)
        if compiled and status and not tests.failed:
            tests.failed = 1
        if compiled and "NOT RUN" in text:
            tests.skipped += 1
        total.add(tests)
    return total


def stage_kvmbox():
    status, text = run(["tools/kvmbox.d/selftest.sh"], "build/kvmbox.log", "^FAIL")
    count = count_output(text)
    if status and not count.failed:
        say("FAILED: kvmbox\n" + tail(text))
        count.failed = 1
    return count


def stage_bench():
    if not os.path.exists(os.path.join(ROOT, "tests", "bench", "run")):
        say("bench: no tests yet")
        return Count()
    if not build("build"):
        return Count(failed=1)
    return one("bench", ["tests/bench/run", "--smoke"], **kernel_environment())


STAGES = {
    "check": stage_check,
    "unit": native("unit"),
    "device": native("device"),
    "hv": native("hv"),
    "mini": native("mini"),
    "replay": native("replay"),
    "asan": variant("build-asan", QUICK, "-Db_sanitize=address,undefined"),
    "tsan": variant("build-tsan", QUICK, "-Db_sanitize=thread"),
    "least": variant("build-least", ["unit", "device"], *LEAST),
    "fuzz": stage_fuzz,
    "cross": stage_cross,
    "kvmbox": stage_kvmbox,
    "boot": native("boot"),
    "e2e": native("e2e"),
    "bench": stage_bench,
}


def describe_host():
    kind = "no /dev/kvm: suites that need it say so"
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        modules = [m for m in ("kvm_intel", "kvm_amd", "kvm_pvm")
                   if os.path.exists("/sys/module/" + m)]
        kind = "/dev/kvm with " + (" ".join(modules) or "no vendor module")
    ring3 = {**os.environ, **kernel_environment()}.get("MICROVM_RING3_KERNEL")
    say("host: %s CPUs, Linux %s, %s; ring3 kernel: %s" % (
        os.cpu_count(), os.uname().release, kind, "present" if ring3 else "absent"))


def main():
    names = sys.argv[1:] or list(STAGES)
    for n in names:
        if n not in STAGES:
            say("run-tests.py: there is no stage '%s'; these are: %s"
                % (n, " ".join(STAGES)))
            return 2
    os.makedirs(os.path.join(ROOT, "build"), exist_ok=True)
    os.environ.setdefault("MESON_TESTTHREADS", JOBS)
    describe_host()
    total, table = Count(), []
    for n in names:
        say("== %s" % n)
        began = time.time()
        count = STAGES[n]()
        total.add(count)
        table.append("%-8s %s (%.0f s)" % (n, count, time.time() - began))
        say("   " + table[-1])
    say("\n" + "\n".join(table))
    if not total.passed:
        say("FAILED: not one test passed")
        total.failed = total.failed or 1
    with open(os.path.join(ROOT, "build", "test-summary.txt"), "w") as f:
        f.write("%s\n" % total)
    say(str(total))
    return 1 if total.failed else 0


if __name__ == "__main__":
    sys.exit(main())
