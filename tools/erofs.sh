#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds mkfs.erofs from Debian 13's source package of erofs-utils (1.8.6; Debian 12's 1.5
# reads no tar archives), and prints the folder that it is in, for PATH. Once: the result is
# kept in $MICROVM_CACHE (default ~/.cache/libmicrovm). Where the installed one is 1.7 or
# later, its folder is printed.
# Usage: PATH=$(tools/erofs.sh):$PATH microvm-build --format erofs ...
set -euo pipefail
# shellcheck source=tools/debian-source.sh
. "$(dirname "$(realpath "$0")")/debian-source.sh"

installed=$(command -v mkfs.erofs || true)
if [ -n "$installed" ] && mkfs.erofs --help 2>&1 | grep -q -- --tar; then
    dirname "$installed"
    exit 0
fi
prefix=$cache/erofs-utils-1.8.6
if [ -x "$prefix/mkfs.erofs" ]; then
    echo "$prefix"
    exit 0
fi
for tool in autoreconf libtoolize gcc make; do
    command -v "$tool" >/dev/null || fail "$tool is missing; 'tools/deps.sh test' installs it"
done
debian_begin "install erofs-utils 1.7 or later"
debian_source erofs-utils tree 1.8.6-1
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
