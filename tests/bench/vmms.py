# SPDX-License-Identifier: MIT OR Apache-2.0
"""The VMMs that are measured: how each is told to run the same guest.

A Vmm makes a command line from a guest `g`: kernel, initrd, cmdline, mem (MiB), work (a
directory of its own), words (what is to be measured), and devices, each None where there is to be
none: disk (image), tap (device), mac, uds (vsock's socket), hvc (file for the virtio
console), rng. The serial port is on standard output. A new one is a class of a dozen
lines and a line in device_rows() or boot_rows().
"""
import json
import os
import re
import shutil
import subprocess

# What the measuring guest can do, in its order; a figure's group is the word before "_".
GROUPS = ("sys", "blk", "net", "vsock", "vsockl", "rng", "con", "hvc", "idle", "mem")


def group_of(word):
    return "hvc" if word == "con_hvc" else word.split("_")[0]


class Vmm:
    program = ""
    is_vm = True
    tap = False       # wants a tap device
    user_net = False  # has a network of its own, with the usual addresses
    groups = ()       # of GROUPS, that it can run

    def __init__(self, where, name, groups=None, **changes):
        """`where` has peers (a folder of programs) and microvm (ours)."""
        self.where, self.name = where, name
        if groups:
            self.groups = groups.split()
        for key, value in changes.items():
            setattr(self, key, value)

    def path(self):
        mine = os.path.join(self.where.peers, self.program)
        return mine if os.path.exists(mine) else self.program

    def missing(self):
        """Why it cannot run here, or None."""
        return None if shutil.which(self.path()) else f"{self.program} is not here (tests/bench/get-peers.sh DIR)"

    def machines(self, words):
        """The words, shared out among the machines that they take."""
        return [words]

    def console(self, g):
        return "console=ttyS0"

    def net_words(self, g):
        return "bip=10.0.2.15 bpeer=10.0.2.2" if self.user_net else f"bip={g.ip} bpeer={g.peer}"


class Native(Vmm):
    """The guest's program as a process of the host: page cache, loopback, unix sockets,
    getrandom. Not a goal, a floor."""
    is_vm = False
    groups = ("sys", "blk", "net", "vsock", "rng", "mem")

    def missing(self):
        return None

    def net_words(self, g):
        return f"bpeer=127.0.0.1 bdirect=0 bdisk={g.disk} buds={g.uds} brng=/dev/urandom"

    def command(self, g):
        return [g.program, *g.cmdline.split()]


class NetdAlone(Native):
    """The user network without a VM (netd.c): the guest's program connects from a tap
    device, at the same MTU, through microvm-netd. A floor."""
    groups = ("net",)

    def path(self):
        build = os.path.dirname(os.path.dirname(os.path.abspath(self.where.microvm)))
        return os.path.join(build, "netd/microvm-netd")

    def missing(self):
        return None if os.path.exists(self.path()) else f"{self.path()} is not here (make)"

    def net_words(self, g):
        return "bpeer=10.0.2.2"

    def command(self, g):
        return [self.where.netd_guest, self.path(), *super().command(g)]


class Floor(Vmm):
    """floor.c: loads the kernel and runs it."""
    def path(self):
        return self.where.floor

    def command(self, g):
        return [self.path(), g.kernel, g.initrd, g.cmdline, str(g.mem)]


class Microvm(Vmm):
    transport = None
    groups = ("sys", "blk", "net", "vsock", "vsockl", "rng", "con", "hvc", "idle", "mem")

    def path(self):
        return self.where.microvm

    def offers(self, flag, word=""):
        """Whether `microvm help run` has the flag, with this word in its description."""
        r = subprocess.run([self.path(), "help", "run"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        text = r.stdout.decode(errors="replace")
        m = re.search(rf"^ +(?:-\w, )?{flag}\b.*(?:\n {{20,}}.*)*", text, re.M)
        return bool(m and word in m.group())

    def has_user_net(self):
        """The flag is known to builds without the helper too: they refuse it when they start."""
        r = subprocess.run([self.path(), "run", "-q", "--kernel", self.where.kernel, "--net", "user",
                            "--timeout", "100ms"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                           stderr=subprocess.PIPE)
        return b"not in this build" not in r.stderr

    def missing(self):
        if not shutil.which(self.path()):
            return f"{self.path()} is not here (make)"
        if self.transport == "pci" and not self.offers("--transport", "pci"):
            return "this microvm has no --transport pci"
        if self.user_net and not (self.offers("--net", "user") and self.has_user_net()):
            return "this microvm has no --net user"
        if not self.user_net and not self.offers("--net", "tap"):
            self.groups = [x for x in self.groups if x != "net"]
        if not self.offers("--vsock"):
            self.groups = [x for x in self.groups if not x.startswith("vsock")]
        self.tap = "net" in self.groups and not self.user_net
        return None

    def machines(self, words):
        """The virtio console takes the serial port's place: a machine of its own."""
        hvc = [w for w in words if group_of(w) == "hvc"]
        return [x for x in ([w for w in words if w not in hvc], hvc) if x]

    def console(self, g):
        return "console=hvc0" if {group_of(w) for w in g.words} - {"none"} == {"hvc"} else "console=ttyS0"

    def command(self, g):
        words = [self.path(), "run", "-q", "--kernel", g.kernel, "--initrd", g.initrd, "--cmdline", g.cmdline,
                 "-m", f"{g.mem}M"]
        if self.transport and self.offers("--transport"):
            words += ["--transport", self.transport]
        if self.console(g) == "console=hvc0":
            return words + ["--console", "virtio"]
        words += ["--disk", g.disk] if g.disk else []
        words += ["--rng"] if g.rng else []
        if self.user_net:
            words += ["--net", "user"]
        elif g.tap:
            words += ["--net", f"tap={g.tap},mac={g.mac}"]
        if g.uds and "vsock" in self.groups:
            words += ["--vsock", f"uds={g.uds}"]
        return words


class Firecracker(Vmm):
    program = "firecracker"
    engine, pci, tap = "Sync", False, True
    groups = ("sys", "blk", "net", "vsock", "vsockl", "rng", "con", "idle", "mem")

    def missing(self):
        why = super().missing()
        if not why and self.pci:
            r = subprocess.run([self.path(), "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            why = None if b"--enable-pci" in r.stdout else "this firecracker has no --enable-pci (1.12 has not)"
        return why

    def command(self, g):
        config = {"boot-source": {"kernel_image_path": g.kernel, "initrd_path": g.initrd, "boot_args": g.cmdline},
                  "drives": [], "machine-config": {"vcpu_count": 1, "mem_size_mib": g.mem}}
        if g.disk:
            config["drives"] = [{"drive_id": "d", "path_on_host": g.disk, "is_root_device": False,
                                 "is_read_only": False, "io_engine": self.engine, "cache_type": "Writeback"}]
        if g.tap:
            config["network-interfaces"] = [{"iface_id": "n", "host_dev_name": g.tap, "guest_mac": g.mac}]
        if g.uds:
            config["vsock"] = {"guest_cid": 3, "uds_path": g.uds}
        if g.rng:
            config["entropy"] = {}
        path = os.path.join(g.work, "firecracker.json")
        with open(path, "w") as f:
            json.dump(config, f)
        return [self.path(), "--no-api", "--level", "Error", "--config-file", path,
                *(["--enable-pci"] if self.pci else [])]


class Qemu(Vmm):
    """No vsock: it needs /dev/vhost-vsock."""
    program = "qemu-system-x86_64"
    aio, tap = "threads", True
    groups = ("sys", "blk", "net", "rng", "con", "hvc", "idle", "mem")

    def command(self, g):
        words = [self.path(), "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio",
                 "-accel", "kvm", "-cpu", "host,-arch-capabilities",
                 "-M", "microvm,acpi=off,pit=off,pic=off,rtc=off,isa-serial=on,x-option-roms=off",
                 "-m", str(g.mem), "-smp", "1", "-kernel", g.kernel, "-initrd", g.initrd,
                 "-append", g.cmdline, "-no-reboot"]
        if g.disk:
            words += ["-drive", f"id=d,file={g.disk},format=raw,if=none,cache=writeback,aio={self.aio}",
                      "-device", "virtio-blk-device,drive=d"]
        if self.user_net:
            words += ["-netdev", "user,id=n", "-device", "virtio-net-device,netdev=n"]
        elif g.tap:
            words += ["-netdev", f"tap,id=n,ifname={g.tap},script=no,downscript=no",
                      "-device", f"virtio-net-device,netdev=n,mac={g.mac}"]
        if g.rng:
            words += ["-object", "rng-random,id=r,filename=/dev/urandom", "-device", "virtio-rng-device,rng=r"]
        if g.hvc:
            words += ["-chardev", f"file,id=h,path={g.hvc}", "-device", "virtio-serial-device",
                      "-device", "virtconsole,chardev=h"]
        return words


class Libkrun(Vmm):
    """Behind krun-boot/; always has a balloon and an rng device, and no network here."""
    program = "krun-boot"
    groups = ("sys", "blk", "con", "idle", "mem")

    def command(self, g):
        return [self.path(), "-m", str(g.mem), "-c", "1", "-k", g.kernel, "-i", g.initrd, "-a", g.cmdline,
                *(["-d", g.disk] if g.disk else [])]


class CloudHypervisor(Vmm):
    """In no package registry: a row where the program is put among the peers."""
    program, tap = "cloud-hypervisor", True
    groups = ("sys", "blk", "net", "vsock", "vsockl", "rng", "con", "hvc", "idle", "mem")

    def command(self, g):
        return [self.path(), "--kernel", g.kernel, "--initramfs", g.initrd, "--cmdline", g.cmdline,
                "--cpus", "boot=1", "--memory", f"size={g.mem}M", "--serial", "tty",
                "--console", f"file={g.hvc}" if g.hvc else "off",
                *(["--disk", f"path={g.disk},image_type=raw"] if g.disk else []),
                *(["--net", f"tap={g.tap},mac={g.mac}"] if g.tap else []),
                *(["--vsock", f"cid=3,socket={g.uds}"] if g.uds else [])]


def boot_rows(where):
    rows = [Microvm(where, "microvm"), Floor(where, "floor"), Firecracker(where, "firecracker"),
            Libkrun(where, "libkrun"), Qemu(where, "qemu"), CloudHypervisor(where, "ch")]
    return {r.name: r for r in rows}


def device_rows(where):
    return [Native(where, "native"),
            Firecracker(where, "firecracker"),
            Firecracker(where, "firecracker-pci", pci=True),
            Firecracker(where, "firecracker-uring", "blk", engine="Async"),
            Qemu(where, "qemu-microvm"),
            Qemu(where, "qemu-uring", "blk", aio="io_uring"),
            Qemu(where, "qemu-user-net", "net", user_net=True, tap=False),
            NetdAlone(where, "netd-alone"),
            Libkrun(where, "libkrun"),
            CloudHypervisor(where, "cloud-hypervisor"),
            Microvm(where, "microvm-mmio", transport="mmio"),
            Microvm(where, "microvm-pci", transport="pci"),
            Microvm(where, "microvm-user-net", "net idle mem", user_net=True)]
