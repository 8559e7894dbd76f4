#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Fuzzes each target for some seconds and says which ones found something; inputs that
# reach new code and those that fail stay in BUILD/found/NAME.
# Usage: fuzz.sh [-t SECONDS] [-b BUILD] [NAME...]     all targets when none is named
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
seconds=60
build=$root/build-fuzz
while getopts t:b: option; do
    case $option in
    t) seconds=$OPTARG ;;
    b) build=$OPTARG ;;
    *) sed -n '5s/^# //p' "$0" && exit 2 ;;
    esac
done
shift $((OPTIND - 1))

clang=$(command -v clang || compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -V | tail -1)
[ -n "$clang" ] || { echo "fuzz.sh: needs clang (apt-get install clang)" >&2 && exit 1; }
[ -f "$build/build.ninja" ] ||
    CC=$clang meson setup "$build" "$root" -Dfuzz=true -Dcli=disabled || exit 1
ninja -C "$build" || exit 1

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
    for program in "$build"/tests/fuzz/fuzz_*; do
        [ -f "$program" ] && names+=("$(basename "${program#*/fuzz_}")")
    done
    names=("${names[@]#fuzz_}")
fi
failed=0
for name in "${names[@]}"; do
    found=$build/found/$name
    mkdir -p "$found"
    if "$build/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=10 \
        -rss_limit_mb=1024 -artifact_prefix="$found/" -verbosity=0 -print_final_stats=1 \
        "$found" "$root/tests/fuzz/corpus/$name" >"$found.log" 2>&1; then
        echo "fuzz: $name: $(grep -oE 'executed_units: *[0-9]+' "$found.log" | grep -oE '[0-9]+') inputs, nothing found"
    else
        tail -30 "$found.log"
        echo "fuzz: $name: FOUND SOMETHING, see $found.log"
        failed=1
    fi
done
exit $failed
