#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# make demo: boots Debian's stock kernel with `microvm run`, runs a command in the guest,
# and checks that its answer can only have come from there: the guest's kernel is not the
# host's, its processor has the hypervisor flag, and it returns the checksum of a number
# that was made up a moment before.
#
# Natively where this computer has hardware virtualization, else inside tools/kvmbox; it
# says which and why. MICROVM_DEMO_BED=native or kvmbox decides instead.
set -euo pipefail
cd "$(dirname "$0")/.."

build=${BUILD:-build}
name=debian-cloud-6.1
native_seconds=20 # a native boot of this kernel takes well under two

say() {
    echo "demo: $*"
}

# ---- what is needed ----------------------------------------------------------------

tools/deps.sh build demo
if [ ! -e "$build/build.ninja" ]; then
    say "configuring $build"
    meson setup "$build" >/dev/null
fi
say "building microvm"
log=$(mktemp)
work=$(mktemp -d)
trap 'rm -rf "$log" "$work"' EXIT
if ! ninja -C "$build" cli/microvm >"$log" 2>&1; then
    cat "$log" >&2
    exit 1
fi
microvm=$(realpath "$build/cli/microvm")

kernel=$(tools/guest-kernel.sh $name 2>"$log") || {
    cat "$log" >&2
    exit 1
}
say "kernel: $(cat "$kernel/package"), unchanged"

# ---- the guest's side --------------------------------------------------------------

# /init is this script. The number comes on the kernel command line, which hands
# parameters it does not know to /init as environment.
cat >"$work/init" <<'INIT'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
echo "uname: $(uname -a)"
echo "cpu: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)"
if grep -q '^flags.* hypervisor' /proc/cpuinfo; then
    echo "hypervisor flag: yes"
else
    echo "hypervisor flag: no"
fi
echo "memory: $(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
echo "checksum: $(echo "$nonce $(uname -r)" | sha256sum | cut -d' ' -f1)"
poweroff -f
INIT
tools/guest-initramfs.py -o "$work/initrd" --init "$work/init" --busybox

# ---- where it runs -----------------------------------------------------------------

nonce=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

boot() { # SECONDS [PROGRAM THAT RUNS IT...]
    local seconds=$1
    shift
    "$@" "$microvm" run --quiet --memory 256M --timeout "${seconds}s" \
        --kernel "$kernel/kernel" --initrd "$work/initrd" \
        --cmdline "quiet nonce=$nonce" </dev/null >"$work/out" 2>"$work/err"
}

why=
bed=${MICROVM_DEMO_BED:-}
if [ -n "$bed" ]; then
    why="MICROVM_DEMO_BED says so"
elif ! { [ -r /dev/kvm ] && [ -w /dev/kvm ]; }; then
    bed=kvmbox why="/dev/kvm cannot be opened here"
elif ! grep -Eqw '^flags.*(vmx|svm)' /proc/cpuinfo; then
    bed=kvmbox why="/dev/kvm is here, but no hardware virtualization (no vmx or svm)"
else
    bed=native why="this computer has hardware virtualization"
fi

status=0
if [ "$bed" = native ]; then
    say "booting it natively: $why"
    boot $native_seconds || status=$?
    if ! grep -q '^uname: ' "$work/out" && [ -z "${MICROVM_DEMO_BED:-}" ]; then
        bed=kvmbox why="the native boot said nothing within $native_seconds s"
    fi
fi
if [ "$bed" = kvmbox ]; then
    say "booting it inside tools/kvmbox, an emulated computer: $why"
    status=0
    boot 120 tools/kvmbox --timeout 180 -- || status=$?
fi

# ---- what it said ------------------------------------------------------------------

tr -d '\r' <"$work/out" | sed -n 's/^/    guest | /p'
guest() { # KEY
    tr -d '\r' <"$work/out" | sed -n "s/^$1: //p"
}
fail() {
    say "FAILED: $*" >&2
    sed 's/^/    stderr | /' "$work/err" >&2
    exit 1
}
release=$(ls "$kernel/lib/modules")
expected=$(echo "$nonce $release" | sha256sum | cut -d' ' -f1)
[ $status = 0 ] || fail "microvm run ended with status $status"
case "$(guest uname)" in
*" $release "*) ;;
*) fail "the guest's kernel is not $release" ;;
esac
[ "$(guest 'hypervisor flag')" = yes ] || fail "the guest saw no hypervisor"
[ "$(guest checksum)" = "$expected" ] || fail "the checksum is not $expected"
say "the guest ran Linux $release (here it is $(uname -r)), saw a hypervisor, and"
say "answered with the right checksum of $nonce"
