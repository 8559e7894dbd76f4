#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds jansson for programs of the guest: static, with musl, small, from Debian's source
# package (fetch-subprojects.sh), and prints where its lib/ and include/ are. Once: the
# result is kept in $MICROVM_CACHE (default ~/.cache/libmicrovm).
# Usage: guest-jansson.sh [--cached]      with --cached nothing is fetched or built
set -euo pipefail

cache=${MICROVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libmicrovm}
root=$(dirname "$(dirname "$(realpath "$0")")")
prefix=$cache/guest-jansson-$(cat "$0" "$root/subprojects/packagefiles/jansson/meson.build" | sha256sum | cut -c -8)
if [ -e "$prefix/lib/libjansson.a" ]; then
    echo "$prefix"
    exit 0
fi
[ "${1:-}" != --cached ] || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$root/tools/fetch-subprojects.sh" >&2
cp -r "$root/subprojects/jansson" "$work/jansson"
{
    CC=musl-gcc meson setup "$work/build" "$work/jansson" --default-library static --buildtype minsize \
        -Dc_args='-ffunction-sections -fdata-sections' &&
        ninja -C "$work/build"
} >"$work/log" 2>&1 || {
    tail -5 "$work/log" >&2
    echo "guest-jansson.sh: it does not build, see above" >&2
    exit 1
}
mkdir -p "$work/out/lib" "$work/out/include" "$cache"
ar rcs "$work/out/lib/libjansson.a" "$work/build/libjansson.a.p"/*.o
cp "$work/jansson/src/jansson.h" "$work/build/jansson_config.h" "$work/out/include/"
[ -e "$prefix/lib/libjansson.a" ] || { rm -rf "$prefix"; mv "$work/out" "$prefix"; }
echo "$prefix"
