#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Takes the ELF kernel out of a bzImage. Usage: guest-vmlinux.py BZIMAGE VMLINUX

The setup header says where the compressed kernel lies (Linux x86 boot protocol 2.08,
payload_offset and payload_length); its last four bytes are the unpacked size. Guests that
start from the ELF file spare a slow machine the unpacking.
"""
import bz2
import gzip
import lzma
import shutil
import struct
import subprocess
import sys


def unpack(payload):
    if payload[:6] == b"\xfd7zXZ\0":
        return lzma.LZMADecompressor().decompress(payload)
    if payload[:2] == b"\x1f\x8b":
        return gzip.decompress(payload[:-4])
    if payload[:3] == b"BZh":
        return bz2.decompress(payload[:-4])
    tools = {b"\x28\xb5\x2f\xfd": "zstd", b"\x02\x21\x4c\x18": "lz4"}
    tool = tools.get(payload[:4])
    if not tool:
        raise SystemExit("guest-vmlinux.py: unknown compression %s" % payload[:6].hex())
    if not shutil.which(tool):
        raise SystemExit("guest-vmlinux.py: needs the program %s" % tool)
    # The size after the last frame is no frame: the tool complains once it is done.
    r = subprocess.run([tool, "-d", "-q", "-c"], input=payload[:-4],
                       stdout=subprocess.PIPE)
    return r.stdout


def main(source, target):
    with open(source, "rb") as f:
        image = f.read()
    if image[0x202:0x206] != b"HdrS":
        raise SystemExit("guest-vmlinux.py: %s: no bzImage" % source)
    setup = (image[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = setup * 512 + offset
    payload = image[start:start + length]
    size = struct.unpack("<I", payload[-4:])[0]
    elf = unpack(payload)
    if elf[:4] != b"\x7fELF" or len(elf) < size:
        raise SystemExit("guest-vmlinux.py: %s: the payload is not a whole ELF file" % source)
    with open(target, "wb") as f:
        f.write(elf[:size])


main(*sys.argv[1:3])
