#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Configures and compiles, without a warning, for the other systems; where an emulator
# exists it runs the unit suite too, and says aloud where none does.
# Usage: cross.sh [TARGET...]     targets are the files of cross/ (all of them when none)
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/libmicrovm
jobs=${JOBS:-$(nproc)}

# Meson that knows zig's linker and zig itself come from PyPI, into a place of our own.
ensure_tool_chain() {
    local want="meson>=1.7,<2 ninja ziglang~=0.17.0"
    mkdir -p "$cache"
    exec 9>"$cache/venv.lock"
    flock 9
    if [ "$(cat "$cache/venv/installed" 2>/dev/null)" != "$want" ]; then
        echo "cross.sh: installing meson, ninja and zig from PyPI into $cache/venv"
        # shellcheck disable=SC2086
        rm -rf "$cache/venv" && python3 -m venv "$cache/venv" &&
            "$cache/venv/bin/pip" -q install $want &&
            echo "$want" >"$cache/venv/installed" || return 1
    fi
    exec 9>&-
    export PATH=$cache/venv/bin:$PATH
}

build() { # TARGET DIRECTORY
    local setup=("$cache/venv/bin/meson" setup)
    [ -f "$2/build.ninja" ] && setup+=(--reconfigure)
    "${setup[@]}" "$2" "$root" --cross-file "$root/cross/$1.ini" -Dwerror=true \
        -Ddefault_library=static -Dtests=enabled &&
        ninja -k 0 -j "$jobs" -C "$2"
}

run_tests() { # TARGET DIRECTORY
    local list
    case $1 in
    *-macos)
        echo "cross: $1: compiles; UNIT TESTS NOT RUN: nothing on this host runs macOS programs"
        return 0
        ;;
    esac
    list=$("$cache/venv/bin/meson" test -C "$2" --list --suite unit --no-rebuild 2>/dev/null)
    if [ -z "$list" ]; then
        echo "cross: $1: compiles; no unit tests yet"
        return 0
    fi
    if "$cache/venv/bin/meson" test -C "$2" --suite unit --no-rebuild \
        --num-processes "$jobs" --timeout-multiplier 4 >"$2/test.log" 2>&1; then
        echo "cross: $1: compiles; unit suite passed ($(grep -c . <<<"$list") programs)"
    else
        grep -vE '^$|  OK  ' "$2/test.log" | tail -40
        echo "cross: $1: compiles; UNIT SUITE FAILED, see $2/meson-logs/testlog.txt"
        return 1
    fi
}

targets=("$@")
if [ ${#targets[@]} = 0 ]; then
    for f in "$root"/cross/*.ini; do
        targets+=("$(basename "$f" .ini)")
    done
fi
for t in "${targets[@]}"; do
    if [ ! -f "$root/cross/$t.ini" ]; then
        echo "cross.sh: there is no target '$t'; these are:" \
            "$(cd "$root/cross" && echo *.ini | sed 's/\.ini//g')" >&2
        exit 2
    fi
done

"$root/tools/deps.sh" cross && ensure_tool_chain && "$root/tools/fetch-subprojects.sh" || exit 1
failed=0
for t in "${targets[@]}"; do
    dir=$root/build-cross-$t
    mkdir -p "$dir"
    rm -f "$dir/meson-logs/testlog.json"
    if build "$t" "$dir" >"$dir/build.log" 2>&1; then
        run_tests "$t" "$dir" || failed=1
    else
        grep -E -A12 'error:|ERROR:|FAILED:' "$dir/build.log" | head -60
        echo "cross: $t: DOES NOT COMPILE, see $dir/build.log"
        failed=1
    fi
done
exit $failed
