#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""Has ACPICA's iasl read our tables and compile what it read.

Usage: acpi_iasl.py TEST_ACPI

Neither direction may have an error, a warning or a remark, and the source must contain
what the tables are for. Without iasl the test is skipped (status 77) and says so.
"""
import re
import shutil
import subprocess
import sys
import tempfile

WANTED = {
    "DSDT": [
        r'Name \(_HID, EisaId \("PNP0501"\)',
        r'Name \(_HID, EisaId \("PNP0B00"\)',
        r'Name \(_HID, EisaId \("PNP0C0C"\)',
        r'Name \(_HID, "ACPI0013"',
        r'Device \(VI11\)\s*\{\s*Name \(_HID, "LNRO0005"\)[^\n]*\s*'
        r'Name \(_UID, 0x0B\)[^\n]*\s*Name \(_CRS, ResourceTemplate \(\)[^\n]*\s*\{\s*'
        r'Memory32Fixed \(ReadWrite,\s*0xD000B000,[^\n]*\s*0x00001000,[^\n]*\s*\)\s*'
        r'Interrupt \(ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, \)\s*'
        r'\{\s*0x00000010,',
        r'Device \(PCI0\)\s*\{\s*Name \(_HID, EisaId \("PNP0A08"\)[^\n]*\s*'
        r'Name \(_CID, EisaId \("PNP0A03"\)[^\n]*\s*Name \(_UID, Zero\)[^\n]*\s*'
        r'Name \(_SEG, Zero\)[^\n]*\s*Name \(_BBN, Zero\)',
        r'WordBusNumber \(ResourceProducer, MinFixed, MaxFixed, PosDecode,\s*'
        r'0x0000,[^\n]*\s*0x0000,[^\n]*\s*0x0000,[^\n]*\s*0x0000,[^\n]*\s*0x0001,',
        r'DWordMemory \(ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, '
        r'ReadWrite,\s*0x00000000,[^\n]*\s*0xC0000000,[^\n]*\s*0xCFFFFFFF,[^\n]*\s*'
        r'0x00000000,[^\n]*\s*0x10000000,',
        r'QWordMemory \(ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, '
        r'ReadWrite,\s*0x0000000000000000,[^\n]*\s*0x0000004000000000,[^\n]*\s*'
        r'0x0000004FFFFFFFFF,[^\n]*\s*0x0000000000000000,[^\n]*\s*0x0000001000000000,',
        r'Name \(_PRT, Package \(0x1F\)[^\n]*\s*\{\s*Package \(0x04\)\s*\{\s*0x0001FFFF,'
        r'\s*Zero,\s*Zero,\s*0x11\s*\},',
        r'0x0018FFFF,\s*Zero,\s*Zero,\s*0x10\s*\},',
        r'Name \(_HID, EisaId \("PNP0C02"\)[^\n]*\s*Name \(_UID, Zero\)[^\n]*\s*'
        r'Name \(_CRS, ResourceTemplate \(\)[^\n]*\s*\{\s*'
        r'Memory32Fixed \(ReadWrite,\s*0xE0000000,[^\n]*\s*0x00100000,',
        r'OperationRegion \(EREG, SystemMemory, 0xD1000000, 0x04\)',
        r'Method \(_EVT, 1, Serialized\)[^\n]*\s*\{\s*Local0 = ESEL[^\n]*\s*'
        r'If \(\(Local0 & One\)\)\s*\{\s*Notify \(PWRB, 0x80\)',
        r'Name \(\\_S5, Package \(0x04\)[^\n]*\s*\{\s*0x05,\s*0x05,',
    ],
    "FACP": [
        r"Hardware Reduced \(V5\) : 1",
        r"Reset Register Supported \(V2\) : 1",
        r"VGA Not Present \(V4\) : 1",
        r"Value to cause reset : 42",
    ],
    "MCFG": [r"Base Address : 00000000E0000000", r"End Bus Number : 00"],
    "APIC": [r"Local Apic ID : 03", r"Address : FEC00000", r"Interrupt Input LINT : 01"],
}


def run(*command, cwd):
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False)
    if done.returncode or re.search(r"^(Error|Warning|Remark)\b|ACPI (Error|Warning)",
                                    done.stdout, re.M):
        sys.exit(f"{' '.join(command)}: status {done.returncode}\n{done.stdout}")


def main():
    if not shutil.which("iasl"):
        print("SKIP: iasl is not installed (Debian: acpica-tools)")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        run(sys.argv[1], folder, cwd=".")
        for name, patterns in WANTED.items():
            run("iasl", "-d", f"{name}.aml", cwd=folder)
            with open(f"{folder}/{name}.dsl", encoding="ascii") as file:
                source = file.read()
            for pattern in patterns:
                if not re.search(pattern, source):
                    sys.exit(f"{name}: no match for {pattern!r} in\n{source}")
            run("iasl", "-p", f"again-{name}", f"{name}.dsl", cwd=folder)
    print(f"{len(WANTED)} tables read and compiled again")
    return 0


sys.exit(main())
