# SPDX-License-Identifier: MIT OR Apache-2.0
"""One run of one row: a VM (two, where a VMM has one console only) with the measuring
guest in it, and what it said and what the host saw. A run never ends the program: what
goes wrong is in its result, under "error" for the run and "errors" for a figure."""
import json
import os
import shutil
import subprocess
import time
from types import SimpleNamespace

import hostnet
import procs

PORT = 7000
TAP, PEER_ADDRESS, GUEST_ADDRESS, MAC = "bt0", "172.16.77.1", "172.16.77.2", "06:00:ac:10:00:02"
ENDING_S = 5
SETTLE_S = 2  # from the last figure to a guest that sleeps


def measure(vmm, words, opt, tag):
    """{figure: value}; "counts" has what each figure cost, where opt.counters is there."""
    result = {}
    for i, part in enumerate(vmm.machines(words)):
        if opt.counters and vmm.is_vm:
            part = ["none", *part]
        got = Run(vmm, part, opt, f"{vmm.name}.{tag}.{i}").go()
        for key in ("counts", "errors"):
            if key in got:
                result.setdefault(key, {}).update(got.pop(key))
        result.update(got)
    return result


class Run:
    def __init__(self, vmm, words, opt, name):
        self.vmm, self.opt, self.result = vmm, opt, {}
        self.done, self.counting, self.counted, self.idle = False, None, {}, None
        self.processes, self.started = [], 0.0
        work = os.path.join(opt.work, name)
        os.mkdir(work)
        self.out = os.path.join(work, "out")
        self.guest = SimpleNamespace(
            kernel=opt.kernel, initrd=opt.initrd, program=opt.program, mem=opt.mem, work=work, words=words,
            disk=opt.image, rng=True, hvc=os.path.join(work, "hvc"), uds=os.path.join(work, "v"),
            tap=TAP if vmm.tap and opt.has_net else None, mac=MAC, peer=PEER_ADDRESS, ip=GUEST_ADDRESS)
        self.guest.cmdline = " ".join([
            "quiet", vmm.console(self.guest), "reboot=t panic=-1", "bench=" + ",".join(words),
            f"bcount={int(bool(opt.counters or opt.alone))} bsec={opt.seconds:g} bport={PORT} bmem={opt.touch}",
            f"bidle={opt.idle + SETTLE_S + 2:g}", vmm.net_words(self.guest)])

    def go(self):
        try:
            self.begin()
            self.follow()
        except (OSError, ValueError, KeyError) as e:
            self.result["error"] = f"{type(e).__name__}: {e}"
        finally:
            if self.opt.counters:
                self.opt.counters.end()
            self.finish()
        if "error" in self.result:
            self.result["output"] = self.last_words()
        shutil.rmtree(self.guest.work, ignore_errors=True)
        return self.result

    def begin(self):
        if self.guest.tap:
            hostnet.tap(TAP, True)
            hostnet.up(TAP, PEER_ADDRESS)
        peer = procs.start([self.opt.peer, "serve", str(PORT), self.guest.uds], stdout=subprocess.PIPE)
        self.processes.append(peer)
        if peer.stdout.readline() != b"ready\n":
            raise OSError("the peer did not start")
        with open(self.out, "wb") as f:
            self.started = time.monotonic()
            self.processes.append(procs.start(self.vmm.command(self.guest), stdout=f, stderr=f,
                                              cwd=self.guest.work))
        if self.opt.alone:
            for p in self.processes:
                procs.precede(p.pid)

    def vmm_process(self):
        return self.processes[1]

    def finish(self):
        if self.done and self.vmm.is_vm:
            try:
                self.vmm_process().wait(ENDING_S)
            except subprocess.TimeoutExpired:
                self.result.setdefault("errors", {})["end"] = "the VMM does not end after its guest"
        for p in reversed(self.processes):
            procs.stop(p)
        for p in self.processes[:1]:
            p.stdout.close()
        if self.guest.tap:
            try:
                hostnet.tap(TAP, False)
            except OSError as e:
                self.result["error"] = f"the tap device stays: {e}"

    def last_words(self):
        try:
            with open(self.out, "rb") as f:
                text = f.read()[-1500:].decode("utf-8", "replace")
        except OSError:
            return ""
        return "\n".join(t for t in text.splitlines() if t.strip(". \r"))

    # -- the guest's lines --

    def follow(self):
        """Reads the console until the guest has done, or it or the time has ended."""
        rest, limit = b"", self.started + self.opt.timeout
        with open(self.out, "rb") as f:
            while not self.done:
                ended = self.vmm_process().poll()
                data = f.read(1 << 20)
                *lines, rest = (rest + data).split(b"\n")
                rest = rest[-65536:]
                for line in lines:
                    at = line.find(b"BENCH")
                    if at >= 0:
                        self.line(line[at:].decode("utf-8", "replace").strip())
                self.watch_idle()
                if not data and not self.done:
                    if ended is not None:
                        raise OSError(f"ended early, status {ended}")
                    time.sleep(0.005 if self.opt.counters or self.opt.alone else 0.025)
                if time.monotonic() > limit:
                    raise OSError(f"not done after {self.opt.timeout:g} s")

    def line(self, text):
        kind, _, rest = text.partition(" ")
        if kind == "BENCH":
            self.figure(rest)
        elif kind == "BENCH-GO" and self.vmm.is_vm:
            self.go_ahead(rest)
        elif kind == "BENCH-END" and self.counting:
            self.counted[self.counting] = self.opt.counters.end()
            self.counting = None
        elif kind == "BENCH-MARK" and self.vmm.is_vm:
            self.mark(rest)
        self.done = kind == "BENCH-DONE"

    def go_ahead(self, what):
        pids = [pid for p in self.processes[:2] for pid in procs.tree(p.pid)]
        if self.opt.alone:
            procs.place(pids)
        if self.opt.counters:
            self.counting = what
            self.opt.counters.begin(pids)

    def figure(self, text):
        try:
            j = json.loads(text)
        except ValueError:
            return  # a line that the console's own test cut
        name = j["test"]
        if "error" in j:
            self.result.setdefault("errors", {})[name] = j["error"]
            return
        if name != "none":
            self.result[name] = j["value"]
        if "p99" in j:
            self.result[name + ".p99"] = j["p99"]
        if name in self.counted and name != "none":
            price = self.counted.get("none", {})
            cost = {k: max(0, v - price.get(k, 0)) for k, v in self.counted[name].items()}
            self.result.setdefault("counts", {})[name] = dict(cost, n=j["n"])

    def mark(self, what):
        pid = self.vmm_process().pid
        if what == "mem":
            tree = procs.tree(pid)
            self.result["over_kb"], self.result["anon_kb"] = procs.memory(tree, self.opt.mem)
            if self.vmm.user_net and tree[1:]:
                self.result["helper_kb"] = procs.memory(tree[1:], self.opt.mem)[0]
        elif what == "idle":
            self.idle = (time.monotonic() + SETTLE_S, None)
        elif what == "vsockl":
            p = procs.start([self.opt.peer, "client", str(PORT), self.guest.uds, str(self.opt.seconds)], stdout=subprocess.PIPE)
            self.processes.append(p)
            if self.opt.alone:
                procs.precede(p.pid)
            for line in p.stdout:
                if line.startswith(b"BENCH "):
                    self.figure(line[6:].decode())
            p.stdout.close()

    def watch_idle(self):
        """Looks at the threads once the guest's own work has settled, and again."""
        now = time.monotonic()
        if not self.idle or now < self.idle[0]:
            return
        state, before = procs.activity(procs.tree(self.vmm_process().pid)), self.idle[1]
        if before is None:
            self.idle = (now + self.opt.idle, (now, state))
            return
        took, old = now - before[0], before[1]
        self.result["idle_threads"] = {f"{s[0]} {t}": s[1] - old.get(t, ("", 0, 0))[1] for t, s in state.items()}
        for figure, i, unit in (("idle_switches", 1, 1), ("idle_cpu", 2, 1e7)):
            spent = sum(s[i] - old.get(t, ("", 0, 0))[i] for t, s in state.items())
            self.result[figure] = spent / took / unit
        if self.vmm.user_net and any(s[0] == "microvm-netd" for s in state.values()):
            self.result["idle_helper"] = sum(s[1] - old.get(t, ("", 0, 0))[1] for t, s in state.items()
                                             if s[0] == "microvm-netd") / took
        self.idle = None
