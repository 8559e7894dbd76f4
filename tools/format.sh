#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Formats every C file of the tree with clang-format 14, the version that decides.
# Usage: format.sh [--check]       --check changes nothing and fails on a difference
set -euo pipefail
cd "$(dirname "$0")/.."
list() {
    git ls-files -z -co --exclude-standard '*.c' '*.h'
}
if [ "${1:-}" != --check ]; then
    list | xargs -0 -r -P "$(nproc)" -n 16 clang-format-14 -i
    exit
fi
# One line for each file, at its first difference; clang-format itself names every one.
found=$(list | xargs -0 -r -P "$(nproc)" -n 16 clang-format-14 --dry-run 2>&1 |
    grep -E '^[^ ]+:[0-9]+:[0-9]+: warning' | sort -t: -k1,1 -k2,2n -u |
    awk -F: '!seen[$1]++ { print $1 ":" $2 ": not formatted - run make format" }') || true
if [ -n "$found" ]; then
    echo "$found"
    exit 1
fi
