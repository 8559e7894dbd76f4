# SPDX-License-Identifier: MIT OR Apache-2.0
"""The examples in proto/, which tests/unit/examples.h reads for the host's end: told to the guest's programs."""
import os
import re

PROTO = os.path.join(os.path.dirname(__file__), "..", "..", "proto")


def lines(name):
    with open(os.path.join(PROTO, name)) as f:
        return [line[4:].rstrip("\n") for line in f if line.startswith("    ")]


def examples(name, *kinds):
    """(kind, bytes, words) of each."""
    found = []
    for line in lines(name):
        match = re.fullmatch(r"((?:[0-9a-f]{2} )*[0-9a-f]{2}) +([A-Z]+)(?: (.*))?", line)
        if match and match[2] in kinds:
            found.append((match[2], bytes.fromhex(match[1]), match[3] or ""))
    assert {kind for kind, _, _ in found} == set(kinds)
    return found


def bytes_of(name, kind, words):
    return next(data for _, data, said in examples(name, kind) if said == str(words))


def vpn():
    """(line, what it means) of each request in vpn.md."""
    found = [re.fullmatch(r"(.*?) +=> (.*)", line) for line in lines("vpn.md")]
    return [(m[1], m[2]) for m in found if m and not m[2].startswith("answer")]


def ids(value):
    return value.hex() if isinstance(value, bytes) else str(value).replace(" ", "-")
