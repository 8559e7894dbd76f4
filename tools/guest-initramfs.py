#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Builds a small initramfs (a newc archive, not compressed) for a guest.

Usage: guest-initramfs.py -o OUT --init FILE [--kernel-dir DIR [--modules A,B,...]]
                          [--busybox] [PATH=FILE]...
       guest-initramfs.py --modules-into FOLDER --kernel-dir DIR [--modules A,B,...]

--kernel-dir is what guest-kernel.sh printed. Its modules named by --modules go in with
what they depend on, unpacked, as /modules/NN-name.ko in the order of loading; /init
loads them by that order. A module that is built in, or that this kernel does not have,
is left out. --busybox adds /bin/busybox and links for its applets. PATH=FILE adds more
files. The result depends on nothing but the contents, so it can be cached by them.
--modules-into writes the modules alone, as files for other images' /modules.
"""
import argparse
import lzma
import os
import shutil
import stat
import subprocess
import sys

# virtio devices, the file systems of our tests, the power button and its events.
# crc32c is what ext4 asks the crypto layer for by name (modules.softdep).
MODULES = ("virtio_mmio,virtio_pci,virtio_blk,virtio_console,virtio_rng,virtio_balloon,virtio_net,"
           "crc32c_generic,ext4,squashfs,overlay,button,evdev,vmw_vsock_virtio_transport")


class Archive:
    """newc: Documentation/driver-api/early-userspace/buffer-format.rst of Linux."""

    def __init__(self):
        self.out, self.inode, self.folders = bytearray(), 0, set()

    def add(self, path, mode, data=b"", device=(0, 0)):
        self.folder(os.path.dirname(path))
        self.inode += 1
        name = path.encode() + b"\0"
        fields = (self.inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
        self.out += b"070701" + "".join("%08X" % v for v in fields).encode() + name
        self.pad()
        self.out += data
        self.pad()

    def pad(self):
        self.out += b"\0" * (-len(self.out) % 4)

    def folder(self, path):
        if path and path not in self.folders:
            self.folders.add(path)
            self.add(path, stat.S_IFDIR | 0o755)

    def finish(self):
        self.inode = -1  # the trailer's inode number is 0
        self.add("TRAILER!!!", 0)
        return bytes(self.out)


def module_name(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


def module_files(tree, names):
    """Files of the named modules and of what they depend on, dependencies first."""
    depends, order = {}, []
    with open(os.path.join(tree, "modules.dep")) as f:
        for line in f:
            path, _, rest = line.strip().partition(":")
            depends[path] = rest.split()
    by_name = {module_name(p): p for p in depends}
    for name in names:
        path = by_name.get(name.replace("-", "_"))
        # depmod lists all that a module needs, directly or not, the nearest first.
        for p in (list(reversed(depends[path])) + [path]) if path else []:
            if p not in order:
                order.append(p)
    return [os.path.join(tree, p) for p in order]


def module_data(path):
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data


def modules(kernel_dir, names):
    """Names in /modules, and what the files hold."""
    base = os.path.join(kernel_dir, "lib", "modules")
    if not os.path.isdir(base):
        return  # a kernel with everything built in
    tree = os.path.join(base, os.listdir(base)[0])
    for number, path in enumerate(module_files(tree, names)):
        yield "%02d-%s.ko" % (number, module_name(path)), module_data(path)


def add_busybox(archive):
    busybox = shutil.which("busybox")
    if not busybox:
        sys.exit("guest-initramfs.py: no busybox here; install busybox-static")
    with open(busybox, "rb") as f:
        archive.add("bin/busybox", 0o100755, f.read())
    applets = subprocess.run([busybox, "--list"], stdout=subprocess.PIPE, check=True)
    for name in applets.stdout.decode().split():
        if name != "busybox":
            archive.add("bin/" + name, stat.S_IFLNK | 0o777, b"busybox")


def main():
    ap = argparse.ArgumentParser(usage=__doc__.split("\n\n")[1].replace("Usage: ", ""))
    ap.add_argument("-o", "--output")
    ap.add_argument("--init")
    ap.add_argument("--modules-into")
    ap.add_argument("--kernel-dir")
    ap.add_argument("--modules", default=MODULES)
    ap.add_argument("--busybox", action="store_true")
    ap.add_argument("files", nargs="*")
    opt = ap.parse_args()
    if opt.modules_into:
        os.makedirs(opt.modules_into)
        for name, data in modules(opt.kernel_dir, opt.modules.split(",")):
            with open(os.path.join(opt.modules_into, name), "wb") as f:
                f.write(data)
        return
    archive = Archive()
    archive.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    for folder in ("proc", "sys", "tmp", "root", "mnt"):
        archive.folder(folder)
    for path, file in [("init", opt.init)] + [f.split("=", 1) for f in opt.files]:
        with open(file, "rb") as f:
            archive.add(path, 0o100755, f.read())
    if opt.busybox:
        add_busybox(archive)
    if opt.kernel_dir:
        for name, data in modules(opt.kernel_dir, opt.modules.split(",")):
            archive.add("modules/" + name, 0o100644, data)
    with open(opt.output + ".tmp", "wb") as f:
        f.write(archive.finish())
    os.rename(opt.output + ".tmp", opt.output)


main()
