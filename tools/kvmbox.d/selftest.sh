#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Checks kvmbox itself: exit status, streams, shares, isolation, devices, time-out,
# concurrency. Usage: selftest.sh [x86_64|aarch64]
cd "$(dirname "$0")" || exit 1
arch=${1:-x86_64}
box="../kvmbox --arch $arch --timeout 60"
passed=0
failed=0

same() { # NAME GOT WANTED
    if [ "$2" = "$3" ]; then
        echo "ok   $1"
        passed=$((passed + 1))
    else
        echo "FAIL $1: got '$2', want '$3'"
        failed=$((failed + 1))
    fi
}

dir=$(mktemp -d "${TMPDIR:-/tmp}/kvmboxtest.XXXXXX")
lost=$dir-lost
trap 'rm -rf "$dir"' EXIT
$box --prepare </dev/null || exit 1

same stdin "$(echo -n hello | $box -- cat)" hello
same stderr "$($box -- sh -c 'echo e >&2; echo o' </dev/null 2>&1 >/dev/null)" e
$box -- sh -c 'exit 7' </dev/null
same status $? 7
$box -- sh -c 'kill -9 $$' </dev/null
same signal $? 137
$box -- nosuch </dev/null 2>/dev/null
same not-found $? 127
$box --timeout 2 -- sleep 100 </dev/null 2>/dev/null
same time-out $? 124
same args "$($box -- printf '%s|' 'a b' '' '$x' "q'q" </dev/null)" "a b||\$x|q'q|"
same env "$($box --env A=1=2 -- sh -c 'echo $A' </dev/null)" 1=2
same bulk-out "$($box -- head -c 30000000 /dev/zero </dev/null | wc -c)" 30000000
same bulk-in "$(head -c 5000000 /dev/zero | $box -- wc -c)" 5000000
$box --share "$dir" -- sh -c "echo in > $dir/f; echo lost > $lost" </dev/null
same share "$(cat "$dir/f")" in
same isolated "$(ls "$lost" 2>/dev/null)" ""
same share-at "$($box --share "$dir:/mnt/x" -- cat /mnt/x/f </dev/null)" in
$box --share "$dir/nosuch" -- true </dev/null 2>/dev/null
same no-such-share $? 125
for f in /dev/kvm /dev/net/tun /dev/vhost-net /dev/vhost-vsock /dev/vsock; do
    $box -- test -c $f </dev/null
    same $f $? 0
done
same no-network "$($box -- sh -c 'ls /sys/class/net' </dev/null | tr '\n' ' ')" "lo "
there=$($box -- date +%s </dev/null)
here=$(date +%s)
same clock $((here - there < 3 && there - here < 3)) 1
four=$( (for i in 1 2 3 4; do $box -- echo $i </dev/null & done; wait) | sort | tr -d '\n')
same concurrent "$four" 1234
for _ in 1 2 3 4 5; do
    $box -v -- true </dev/null 2>&1 | sed -n 's/.*command started \([0-9.]*\) s.*/\1/p'
done | sort -n | awk '{a[NR] = $1} END {
    print "start-up, median of 5: " a[3] " s (min " a[1] ", max " a[5] ")"}'
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
