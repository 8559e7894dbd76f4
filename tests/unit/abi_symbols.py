#!/usr/bin/env python3
# SPDX-License-Identifier: MIT OR Apache-2.0
"""The symbols that the shared library exports are those of abi/symbols, no more and no fewer: what is exported can be
linked against, and may not change by accident.

  abi_symbols.py LIBRARY LIST
"""
import subprocess
import sys


def main():
    library, listed = sys.argv[1:]
    out = subprocess.run(["nm", "-D", "--defined-only", library], stdout=subprocess.PIPE, check=True).stdout.decode()
    exported = {line.split()[-1] for line in out.splitlines()}
    with open(listed) as f:
        promised = set(f.read().split())
    for name in sorted(exported - promised):
        print(f"{name}: exported, but not in {listed}; add it there if it is meant to be public")
    for name in sorted(promised - exported):
        print(f"{name}: promised in {listed}, but no longer exported: that breaks programs")
    return 0 if exported == promised else 1


if __name__ == "__main__":
    sys.exit(main())
