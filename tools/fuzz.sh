#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Fuzzes each target for some seconds (FUZZ_SECONDS, 60), one per CPU at a time, and says
# which ones found something; inputs that reach new code and those that fail stay in
# BUILD/found/NAME. A failing one becomes a seed in tests/fuzz/corpus and a unit test.
# Usage: fuzz.sh [-t SECONDS] [-b BUILD] [NAME...]     all targets when none is named
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
seconds=${FUZZ_SECONDS:-60}
build=$root/build-fuzz
jobs=${JOBS:-$(nproc)}
while getopts t:b: option; do
    case $option in
    t) seconds=$OPTARG ;;
    b) build=$OPTARG ;;
    *) sed -n '6s/^# //p' "$0" && exit 2 ;;
    esac
done
shift $((OPTIND - 1))

clang=$(command -v clang || compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -V | tail -1)
[ -n "$clang" ] || { echo "fuzz.sh: needs clang (tools/deps.sh test)" >&2 && exit 1; }
mkdir -p "$build"
setup=(meson setup "$build" "$root" -Dfuzz=true -Dtests=disabled
    -Dcli=disabled -Dwerror=false) # warnings are the business of other builds
[ -f "$build/build.ninja" ] && setup+=(--reconfigure)
if ! { CC=$clang "${setup[@]}" && ninja -k 0 -j "$jobs" -C "$build"; } >"$build/build.log" 2>&1; then
    tail -40 "$build/build.log"
    echo "fuzz.sh: the targets do not build, see $build/build.log"
    exit 1
fi

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for program in "$build"/tests/fuzz/fuzz_*; do
        [ -f "$program" ] && names+=("$(basename "$program" | sed 's/^fuzz_//')")
    done
fi
[ ${#names[@]} -gt 0 ] || { echo "fuzz.sh: there are no targets" && exit 1; }

fuzz_one() { # NAME
    local found=$build/found/$1 inputs
    mkdir -p "$found"
    if "$build/tests/fuzz/fuzz_$1" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -artifact_prefix="$found/" -verbosity=0 -print_final_stats=1 \
        "$found" "$root/tests/fuzz/corpus/$1" >"$found.log" 2>&1 </dev/null; then
        inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$found.log")
        echo "fuzz: $1: $inputs inputs, nothing found"
    else
        tail -30 "$found.log"
        echo "fuzz: $1: FOUND SOMETHING, see $found.log"
        return 1
    fi
}
export -f fuzz_one
export root build seconds
printf '%s\0' "${names[@]}" | xargs -0 -n 1 -P "$jobs" bash -c 'fuzz_one "$0"' || exit 1
