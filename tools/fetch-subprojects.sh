#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Places the sources of libuv, jansson and cmocka in subprojects/, for builds that cannot
# use the host's libraries (other systems, static musl). The sources are Debian's, patched
# and verified by apt; the build files are ours (subprojects/packagefiles). Needs no root
# and changes nothing outside the cache and subprojects/.
# Usage: fetch-subprojects.sh [--force]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/libmicrovm/sources
declare -A package=([libuv]=libuv1 [jansson]=jansson [cmocka]=cmocka)

# The machine's own Debian sources, as source entries: /etc often names binaries only.
write_source_lists() { # DIRECTORY
    local f
    mkdir -p "$1"
    for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        if [ -f "$f" ]; then
            sed -n 's/^deb[[:space:]]/deb-src /p' "$f" >"$1/$(basename "$f" .list).list"
        fi
    done
    for f in /etc/apt/sources.list.d/*.sources; do
        if [ -f "$f" ]; then
            sed 's/^Types:.*/Types: deb-src/' "$f" >"$1/$(basename "$f")"
        fi
    done
}

fetch() { # NAME... : into $cache/NAME
    local work name
    work=$(mktemp -d)
    chmod 755 "$work"
    # shellcheck disable=SC2064
    trap "rm -rf '$work'" RETURN
    write_source_lists "$work/sources.d"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/src"
    local apt=(apt-get -q -o "Dir::Etc::sourcelist=/dev/null"
        -o "Dir::Etc::sourceparts=$work/sources.d" -o "Dir::State::lists=$work/lists"
        -o "Dir::Cache=$work/cache" -o Debug::NoLocking=1
        -o "APT::Sandbox::User=$(id -un)")
    "${apt[@]}" update
    for name in "$@"; do
        (cd "$work/src" && "${apt[@]}" source "${package[$name]}")
        rm -rf "${cache:?}/$name" "$cache/$name.new"
        mv "$work/src/${package[$name]}"-*/ "$cache/$name.new"
        mv "$cache/$name.new" "$cache/$name"
    done
}

if [ "${1:-}" = --force ]; then
    rm -rf "$cache"
fi
mkdir -p "$cache" "$root/subprojects"
exec 9>"$cache.lock" # two builds may ask at once
flock 9
missing=()
for name in "${!package[@]}"; do
    [ -d "$cache/$name" ] || missing+=("$name")
done
if [ ${#missing[@]} -gt 0 ]; then
    for tool in apt-get dpkg-source patch; do
        if ! command -v $tool >/dev/null; then
            echo "fetch-subprojects.sh: $tool is missing; tools/deps.sh cross installs it" >&2
            exit 1
        fi
    done
    echo "fetch-subprojects.sh: fetching Debian sources of ${missing[*]}"
    if ! fetch "${missing[@]}" </dev/null >"$cache/log" 2>&1; then
        tail -20 "$cache/log" >&2
        echo "fetch-subprojects.sh: apt-get source failed, see above" >&2
        exit 1
    fi
fi
for name in "${!package[@]}"; do
    to=$root/subprojects/$name
    if [ ! -d "$to" ] || [ "${1:-}" = --force ]; then
        rm -rf "$to"
        cp -r "$cache/$name" "$to.new"
        rm -rf "$to.new/debian" "$to.new/.pc" # nothing of these is built
        mv "$to.new" "$to"
    fi
    cp "$root/subprojects/packagefiles/$name"/* "$to/"
done
