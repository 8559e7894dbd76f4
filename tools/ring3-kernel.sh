#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds the laboratory kernel ring3 (docs/testing.md) with what a VPN's client needs:
# tun, WireGuard, IPv6 and rules of routing, which the one that is kept as a file has not.
#
# Usage: ring3-kernel.sh DIR      leaves DIR/vmlinux, and DIR/package: what it is
#
# Its patch and configuration are looked for in $MICROVM_RING3_SOURCE, else in
# ../shared/testbed/ring3 beside the source tree; the Linux that the patch is for is the
# source that `microvm-build kernel` has fetched, else Debian's package. Some minutes.
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
parts=${MICROVM_RING3_SOURCE:-$source/../shared/testbed/ring3}
fetched=${XDG_CACHE_HOME:-$HOME/.cache}/microvm/kernels/source
out=$1

fail() {
    echo "ring3-kernel.sh: $*" >&2
    exit 3
}

patch=$(ls "$parts"/linux-*-ring3.patch 2>/dev/null | tail -1) || true
[ -n "$patch" ] || fail "no patch in $parts: MICROVM_RING3_SOURCE names its folder"
version=${patch##*/linux-}
version=${version%-ring3.patch}
for tool in make gcc flex bison bc patch strip xz; do
    command -v "$tool" >/dev/null || fail "'$tool' is not installed"
done
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tar=$(ls "$fetched"/linux-source-*"_$version-"*.tar.xz 2>/dev/null | tail -1) || true
if [ -z "$tar" ]; then
    package=linux-source-${version%.*}
    (cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package") >&2 ||
        fail "apt-get download $package failed"
    tar=$work/linux.tar.xz
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -xO "./usr/src/$package.tar.xz" >"$tar"
fi
mkdir "$work/linux"
tar -xf "$tar" -C "$work/linux" --strip-components=1 --no-same-owner
cd "$work/linux"
patch -s -p1 <"$patch" || fail "$(make -s kernelversion) is not the Linux of $patch"

cat >"$work/more" <<'END'
CONFIG_TUN=y
CONFIG_WIREGUARD=y
CONFIG_IPV6=y
CONFIG_IPV6_SIT=n
CONFIG_IP_ADVANCED_ROUTER=y
CONFIG_IP_MULTIPLE_TABLES=y
CONFIG_IPV6_MULTIPLE_TABLES=y
CONFIG_FILE_LOCKING=y
CONFIG_CRYPTO_MANAGER_DISABLE_TESTS=y
END
cat "$parts/r3.config" "$work/more" >"$work/config"
make -s KCONFIG_ALLCONFIG="$work/config" allnoconfig >&2
while IFS= read -r line; do
    case $line in
    *=y) grep -qx "$line" .config || fail "$line is not in what was configured" ;;
    esac
done <"$work/more"
make -s -j"$(nproc)" vmlinux >&2 || fail "it cannot be compiled"
strip -o "$out/vmlinux" vmlinux
ln -sf vmlinux "$out/kernel"
echo "ring3-tun, Linux $version, $(sha256sum "$patch" | cut -c1-12)" >"$out/package"
