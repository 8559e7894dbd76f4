#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds libslirp from Debian 13's source package, which has the fix for CVE-2026-9539
# that older packages lack, with libslirp-window.patch, which makes it several times as
# fast, and libslirp-dns.patch, without which anybody can answer a guest's question to its
# name server; and prints where its pkg-config file is. Once: the result is kept in $MICROVM_CACHE (default ~/.cache/libmicrovm). Needs Debian and its mirror.
# Usage: libslirp.sh            meson setup build --pkg-config-path "$(tools/libslirp.sh)"
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tools/debian-source.sh
. "$here/debian-source.sh"

version=4.8.0-1+deb13u1
ours=("$here/libslirp-window.patch" "$here/libslirp-dns.patch")
prefix=$cache/libslirp-$version-$(cat "${ours[@]}" | sha256sum | cut -c -8)
where=$prefix/lib/pkgconfig
if [ -e "$where/slirp.pc" ]; then
    echo "$where"
    exit 0
fi
debian_begin "install libslirp 4.9.2 or later"
debian_source libslirp tree "$version"
cd tree
grep -q CVE-2026-9539 debian/patches/series || fail "this source package has no fix for CVE-2026-9539"
for patch in "${ours[@]}"; do
    patch -s -p1 <"$patch"
done
{
    meson setup build --prefix "$prefix" --libdir lib --default-library static \
        --buildtype release
    meson install -C build
} >../log 2>&1 || fail "building: $(tail -5 ../log)"
printf '%s\n' cve_2026_9539=fixed window_scaling=yes dns_source=checked >>"$prefix/lib/pkgconfig/slirp.pc"
echo "$where"
