#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# make demo-single: a guest that is a kernel and one static program, examples/single.c,
# and nothing else; says how large it is, and how long it took to its first line.
#
# The kernel is the fast one of `microvm-build kernel --variant fast`, which this builds
# where it has not been (once, some minutes). Natively where this computer has hardware
# virtualization, else inside tools/kvmbox, whose times say nothing.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${BUILD:-build}
most_bytes=10000000

say() {
    echo "demo-single: $*"
}
fail() {
    say "FAILED: $*" >&2
    exit 1
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -e "$build/build.ninja" ] || fail "there is no $build: run make first"
ninja -C "$build" cli/microvm cli/microvm-build >"$work/log" 2>&1 || {
    cat "$work/log" >&2
    exit 1
}
microvm=$(realpath "$build/cli/microvm")
command -v musl-gcc >/dev/null || fail "musl-gcc is missing: apt-get install musl-tools"

musl-gcc -static -Os -s -o "$work/init" examples/single.c
tools/guest-initramfs.py -o "$work/single.cpio" --init "$work/init"
kernel=$("$build/cli/microvm-build" kernel --variant fast)
bytes=$(($(stat -Lc %s "$kernel/vmlinuz") + $(stat -c %s "$work/single.cpio")))
say "kernel $(stat -Lc %s "$kernel/vmlinuz") bytes (vmlinuz), program $(stat -c %s "$work/init"), all $bytes"
[ "$bytes" -le $most_bytes ] || fail "more than $most_bytes bytes"

boot=("$microvm" run --quiet --memory 128M --timeout 60s --kernel "$kernel/vmlinux"
    --initrd "$work/single.cpio" --cmdline quiet)
if [ -w /dev/kvm ] && grep -Eqw '^flags.*(vmx|svm)' /proc/cpuinfo; then
    for round in 1 2 3 4 5; do
        began=$(date +%s%N)
        line=$("${boot[@]}" </dev/null | sed -u -n 's/\r//; /^single: /{p;q}')
        say "$line; $((($(date +%s%N) - began) / 1000000)) ms from exec to its end"
        [ -n "$line" ] || fail "the guest said nothing"
    done
else
    say "inside tools/kvmbox, an emulated computer: there is no hardware virtualization here"
    line=$(tools/kvmbox --timeout 180 -- "${boot[@]}" </dev/null | tr -d '\r' | grep '^single: ') ||
        fail "the guest said nothing"
    say "$line"
fi
