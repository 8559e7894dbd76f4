# SPDX-License-Identifier: MIT OR Apache-2.0
"""What guests are made of: kernels, initial RAM disks, disk images.

Kernels come from tools/guest-kernel.sh; one that cannot be had is Absent, with the
reason, and its tests are skipped by that name. Everything is built once per process.
"""
import os
import re
import shutil
import subprocess
import tempfile

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("MICROVM_BUILD") or os.path.join(ROOT, "build")
MICROVM = os.environ.get("MICROVM") or os.path.join(BUILD, "cli", "microvm")
GUEST_INIT = os.path.join(BUILD, "tests", "guests", "guest-init")
DISKMIX_HOST = os.path.join(BUILD, "tests", "guests", "diskmix-host")
NOSHM = os.path.join(BUILD, "tests", "guests", "libnoshm.so")
PROGRAMS = os.path.join(BUILD, "tests", "boot")

scratch = tempfile.TemporaryDirectory(prefix="microvm-boot-", ignore_cleanup_errors=True)


class Absent(Exception):
    pass


class Kernel:
    def __init__(self, name):
        r = subprocess.run([os.path.join(ROOT, "tools", "guest-kernel.sh"), name],
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE)
        if r.returncode:
            raise Absent(r.stderr.decode().strip().splitlines()[-1])
        self.name, self.directory = name, r.stdout.decode().strip()
        self.file = os.path.join(self.directory, "kernel")
        self.vmlinux = os.path.join(self.directory, "vmlinux")
        self.built = {}

    @property
    def has_acpi(self):
        return self.name not in ("ring3", "fast")

    @property
    def end(self):
        """The command that ends a guest in an orderly way."""
        return "poweroff" if self.has_acpi else "reboot"

    def initrd(self, busybox=False):
        if busybox not in self.built:
            path = os.path.join(scratch.name, "%s-%d.cpio" % (self.name, busybox))
            subprocess.run(
                [os.path.join(ROOT, "tools", "guest-initramfs.py"), "-o", path,
                 "--init", GUEST_INIT, "--kernel-dir", self.directory]
                + (["--busybox"] if busybox else []), check=True)
            self.built[busybox] = path
        return self.built[busybox]


known = {}


def kernel(name):
    if name not in known:
        try:
            known[name] = Kernel(name)
        except Absent as why:
            known[name] = why
    if isinstance(known[name], Absent):
        raise known[name]
    return known[name]


def with_program(kernel, program, script):
    """An initial RAM disk with a program of this computer, the libraries that it needs,
    busybox, and a script at /script."""
    path = os.path.join(scratch.name, "%s-%s.cpio" % (kernel.name, program))
    file = os.path.join(scratch.name, program + ".sh")
    with open(file, "w") as f:
        f.write(script)
    program = shutil.which(program)
    needs = subprocess.run(["ldd", program], stdout=subprocess.PIPE).stdout.decode()
    files = [program] + re.findall(r"(?:=> |^\s*)(/\S+) \(0x", needs, re.M)
    argv = [os.path.join(ROOT, "tools", "guest-initramfs.py"), "-o", path, "--init",
            GUEST_INIT, "--kernel-dir", kernel.directory, "--busybox", "script=" + file]
    subprocess.run(argv + [f[1:] + "=" + f for f in files], check=True)
    return path


def sparse_file(path, mib):
    with open(path, "wb") as f:
        f.truncate(mib << 20)
    return str(path)


def root_tree(directory):
    """A root file system: /init's program as /sbin/init, busybox, mount points."""
    for name in ("bin", "sbin", "dev", "proc", "sys", "tmp", "mnt"):
        os.makedirs(os.path.join(directory, name))
    subprocess.run(["cp", GUEST_INIT, os.path.join(directory, "sbin", "init")],
                   check=True)
    subprocess.run(["cp", "/bin/busybox", os.path.join(directory, "bin", "sh")],
                   check=True)
    return directory


def root_image(kind, directory):
    tree = root_tree(os.path.join(str(directory), "tree-" + kind))
    image = os.path.join(str(directory), kind + ".img")
    if kind == "ext4":
        sparse_file(image, 32)
        argv = ["/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image]
    else:
        argv = ["mksquashfs", tree, image, "-quiet", "-noappend", "-comp", "gzip"]
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return image
