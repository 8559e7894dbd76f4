#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds mkfs.erofs from Debian 13's source package of erofs-utils (1.8.6; Debian 12's 1.5
# reads no tar archives), and prints the folder that it is in, for PATH. Once: the result is
# kept in $MICROVM_CACHE (default ~/.cache/libmicrovm). Where the installed one is 1.7 or
# later, its folder is printed.
# Usage: PATH=$(tools/erofs.sh):$PATH microvm-build --format erofs ...
set -euo pipefail

fail() {
    echo "erofs.sh: $*" >&2
    exit 1
}
installed=$(command -v mkfs.erofs || true)
if [ -n "$installed" ] && mkfs.erofs --help 2>&1 | grep -q -- --tar; then
    dirname "$installed"
    exit 0
fi
version=1.8.6
cache=${MICROVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libmicrovm}
prefix=$cache/erofs-utils-$version
if [ -x "$prefix/mkfs.erofs" ]; then
    echo "$prefix"
    exit 0
fi
command -v apt-get >/dev/null || fail "this is no Debian: install erofs-utils 1.7 or later"
for tool in autoreconf libtoolize gcc make; do
    command -v "$tool" >/dev/null || fail "$tool is missing; 'tools/deps.sh test' installs it"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
cd "$work"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb-src [signed-by=$keys] http://deb.debian.org/debian trixie main" >sources.list
mkdir lists tree
apt=(apt-get -q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
    -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
"${apt[@]}" update >log 2>&1 || fail "apt-get update: $(tail -3 log)"
"${apt[@]}" source --download-only erofs-utils >log 2>&1 ||
    fail "apt-get source erofs-utils: $(tail -3 log)"
tar -xf "erofs-utils_$version.orig.tar.gz" -C tree --strip-components=1 ||
    fail "Debian 13 has another version than $version now"
cd tree
{
    autoreconf -fi
    ./configure --disable-fuse --without-selinux --without-uuid --disable-lzma \
        --without-zlib --without-libdeflate --without-libzstd --enable-lz4
    make -C lib
    make -C mkfs
} >../log 2>&1 || fail "building: $(tail -5 ../log)"
mkdir -p "$prefix"
install mkfs/mkfs.erofs "$prefix/mkfs.erofs.new"
mv "$prefix/mkfs.erofs.new" "$prefix/mkfs.erofs"
echo "$prefix"
