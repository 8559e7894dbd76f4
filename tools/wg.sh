#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds wg for guests, static, with musl, from Debian 13's source package wireguard-tools,
# and prints the folder that it is in. Once: the result is kept in $MICROVM_CACHE (default
# ~/.cache/libmicrovm). The same sources, compiler and script give the same bytes;
# `versions` beside it says which sources they were.
# Usage: wg.sh [--update | --cached]     --update: build it again, from what Debian has now;
#                                      --cached: nothing is fetched or built
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tools/debian-source.sh
. "$here/debian-source.sh"

prefix=$cache/wg-$(cat "$0" "$here/debian-source.sh" | sha256sum | cut -c -8)
if [ -x "$prefix/wg" ] && [ "${1:-}" != --update ]; then
    echo "$prefix"
    exit 0
fi
[ "${1:-}" != --cached ] || exit 1
for tool in musl-gcc make patch; do
    command -v "$tool" >/dev/null || fail "$tool is missing; 'tools/deps.sh build' installs it"
done
debian_begin "put a static wg into build/guest"
debian_source wireguard wg

# Nothing of the place or the day goes into the program. Kernel headers come after musl's.
# The flags are the environment's, to which the Makefile adds its own.
export SOURCE_DATE_EPOCH=1 LC_ALL=C
CFLAGS="-Os -ffunction-sections -fdata-sections -ffile-prefix-map=$work=. -idirafter /usr/include"
export CFLAGS="$CFLAGS -idirafter /usr/include/$(gcc -dumpmachine)" LDFLAGS="-static -s -Wl,--gc-sections"
make -C wg/src -j"${JOBS:-$(nproc)}" CC=musl-gcc PLATFORM=linux wg >log 2>&1 || fail "building wg: $(tail -5 log)"
mkdir -p "$prefix"
! readelf -l wg/src/wg | grep -q INTERP || fail "it came out dynamic"
install -m 644 versions "$prefix/versions"
install wg/src/wg "$prefix/wg.new"
mv "$prefix/wg.new" "$prefix/wg"
echo "$prefix"
