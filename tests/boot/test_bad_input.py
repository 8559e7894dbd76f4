# SPDX-License-Identifier: MIT OR Apache-2.0
"""Each wrong kernel, disk, initrd and setting has its own message, which names it."""
import gzip
import lzma
import os
import struct
import subprocess

import pytest

import guests


def elf(machine=62, kind=2, cls=2, segments=((0x100000, b"\xf4"),), cut=None):
    """An ELF file; the defaults make one that would be a kernel."""
    offset = 64 + 56 * len(segments)
    out = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF" + bytes([cls, 1, 1]), kind, machine,
                      1, 0x100000, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    body = b""
    for gpa, data in segments:
        out += struct.pack("<IIQQQQQQ", 1, 5, offset + len(body), gpa, gpa, len(data),
                           len(data), 1)
        body += data
    return (out + body)[:cut]


def bzimage(offset=None, value=b""):
    """The head of a bzImage: boot protocol 2.15, one setup sector, no kernel behind."""
    image = bytearray(2 * 512)
    image[0x1F1] = 1
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x200:0x206] = b"\xeb\x66HdrS"
    image[0x206:0x208] = b"\x0f\x02"
    image[0x211] = 1  # LOADED_HIGH
    image[0x236] = 1  # XLF_KERNEL_64
    if offset:
        image[offset:offset + len(value)] = value
    return bytes(image)


KERNELS = {
    "nothing": (b"", "is empty"),
    "script": (b"#!/bin/sh\necho hello\n", "script"),
    "words": (b"not a kernel at all, just words\n" * 20, "text file"),
    "noise": (bytes(range(256)) * 99, "no kernel"),
    "packed.gz": (gzip.compress(b"x" * 999), "gzip"),
    "packed.xz": (lzma.compress(b"x" * 999), "xz"),
    "packed.zst": (b"\x28\xb5\x2f\xfd" + bytes(99), "zstd"),
    "arm64": (bytes(56) + b"ARM\x64" + bytes(99), "arm64"),
    "arm64-elf": (elf(machine=183), "arm64"),
    "elf32": (elf(cls=1), "32"),
    "object": (elf(kind=1), "object"),
    "cut-elf": (elf(cut=70), "truncated"),
    "no-segments": (elf(segments=()), "program headers"),
    "old-bzimage": (bzimage(0x206, b"\x01\x02"), "2.01"),
    "damaged-bzimage": (bzimage(), "damaged"),
    "qcow": (b"QFI\xfb" + bytes(999), "qcow2"),
}


def refused(*args):
    r = subprocess.run([guests.MICROVM, "run", *map(str, args)], stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20)
    text = r.stderr.decode()
    assert r.returncode == 125, (r.returncode, text)
    assert r.stdout == b""
    assert text.startswith("microvm: ") and len(text.splitlines()) == 1, text
    return text


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_files(tmp_path, name):
    data, word = KERNELS[name]
    path = tmp_path / name
    path.write_bytes(data)
    text = refused("--kernel", path)
    assert "kernel '%s'" % path in text
    assert word in text.replace(str(path), ""), text


def test_kernels_have_their_own_messages(tmp_path):
    texts = {}
    for name, (data, _) in KERNELS.items():
        path = tmp_path / name
        path.write_bytes(data)
        text = refused("--kernel", path).replace(str(path), "")
        assert text not in texts.values(), (name, text)
        texts[name] = text


DISKS = {
    "nothing": (b"", "empty"),
    "odd": (b"x" * 1000, "512"),
    "image.qcow2": (b"QFI\xfb\0\0\0\3" + bytes(1016), "qcow2"),
}


@pytest.fixture
def kernel(tmp_path):
    path = tmp_path / "kernel"
    path.write_bytes(elf())
    return path


@pytest.mark.parametrize("name", DISKS)
def test_disk_files(tmp_path, kernel, name):
    data, word = DISKS[name]
    path = tmp_path / name
    path.write_bytes(data)
    text = refused("--kernel", kernel, "--disk", path)
    assert str(path) in text and word in text.replace(str(path), ""), text


@pytest.mark.parametrize("flag", ["--kernel", "--initrd", "--disk", "--rootfs"])
def test_files_that_are_none(tmp_path, kernel, flag):
    first = [] if flag == "--kernel" else ["--kernel", kernel]
    missing = refused(*first, flag, tmp_path / "missing")
    assert "no such file" in missing and "missing" in missing
    assert "is a directory" in refused(*first, flag, tmp_path)


def test_files_that_may_not_be_read(tmp_path, kernel):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = tmp_path / "secret"
    path.write_bytes(bytes(512))
    path.chmod(0)
    assert "permission denied" in refused("--kernel", kernel, "--disk", path).lower()


def test_a_disk_that_may_not_be_written(tmp_path, kernel):
    if os.geteuid() == 0:
        pytest.skip("root may write everything")
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    path.chmod(0o400)
    assert "ro" in refused("--kernel", kernel, "--disk", path)


SETTINGS = [
    ("--memory", "1M", "smallest"), ("--memory", "100000G", "largest"),
    ("--memory", "lots", "not a size"), ("--cpus", "0", "least"),
    ("--cpus", "1000", "most"), ("--cpus", "two", "not a whole number"),
    ("--console", "vga", "serial|virtio|none"), ("--acpi", "maybe", "auto|on|off"),
    ("--boot", "grub", "auto|linux|pvh"), ("--timeout", "5 parsecs", "not a duration"),
    ("--transport", "PCI", "auto|mmio|pci"),
    ("--interrupts", "none", "auto|full|split"), ("--disk", "x,rw", "unknown option"),
    ("--disk", "x,id=" + "9" * 21, "20"), ("--cmdline", "x" * 3000, "shorten"),
    ("--kernal", "x", "did you mean --kernel"),
]


@pytest.mark.parametrize("flag, value, word", SETTINGS)
def test_settings(kernel, flag, value, word):
    text = refused("--kernel", kernel, flag, value)
    assert word in text, text
    if flag != "--kernal":
        assert flag.lstrip("-") in text, text


def test_no_kernel():
    assert "kernel" in refused()
