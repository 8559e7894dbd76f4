#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds libslirp from Debian 13's source package, which has the fix for CVE-2026-9539
# that older packages lack, with libslirp-window.patch, which makes it several times as
# fast, and libslirp-dns.patch, without which anybody can answer a guest's question to its
# name server; and prints where its pkg-config file is. Once: the result is kept in $MICROVM_CACHE (default ~/.cache/libmicrovm). Needs Debian and its mirror.
# Usage: libslirp.sh            meson setup build --pkg-config-path "$(tools/libslirp.sh)"
set -euo pipefail

cache=${MICROVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libmicrovm}
here=$(dirname "$(realpath "$0")")
ours=("$here/libslirp-window.patch" "$here/libslirp-dns.patch")
prefix=$cache/libslirp-4.8.0-1+deb13u1-$(cat "${ours[@]}" | sha256sum | cut -c -8)
where=$prefix/lib/pkgconfig
if [ -e "$where/slirp.pc" ]; then
    echo "$where"
    exit 0
fi
fail() {
    echo "libslirp.sh: $*" >&2
    exit 1
}
command -v apt-get >/dev/null || fail "this is no Debian: install libslirp 4.9.2 or later"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
for suite in "debian trixie" "debian-security trixie-security"; do
    echo "deb-src [signed-by=$keys] http://deb.debian.org/$suite main"
done >sources.list
mkdir lists
apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
"${apt[@]}" update >log 2>&1 || fail "apt-get update: $(tail -3 log)"
# Only the two archives are needed, which apt checks against its signed index; some mirrors
# lack the .dsc. They are unpacked by hand: dpkg-source would want dpkg-dev.
"${apt[@]}" source --download-only libslirp=4.8.0-1+deb13u1 >log 2>&1 ||
    { compgen -G '*.orig.tar.*' && compgen -G '*.debian.tar.*'; } >/dev/null ||
    fail "apt-get source libslirp: $(tail -3 log)"
mkdir tree
tar -xf libslirp_*.orig.tar.* -C tree --strip-components=1
tar -xf libslirp_*.debian.tar.* -C tree
cd tree
fixed=
while read -r patch; do
    patch -s -p1 <"debian/patches/$patch"
    [[ $patch != *CVE-2026-9539* ]] || fixed=yes
done <debian/patches/series
[ "$fixed" ] || fail "this source package has no fix for CVE-2026-9539"
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
