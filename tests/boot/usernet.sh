#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs a command, a machine with a user network, in a network of its own where the host
# serves FOLDER by HTTP on port 8000 of ::1; beside it, the guest's port 80 is asked for
# /said by its forward on [::1]:8080 until it answers, and the answer kept in FOLDER/forward.
# Usage: usernet.sh FOLDER COMMAND [ARG...]
[ "$MV_INSIDE" ] || exec env MV_INSIDE=1 unshare -n sh "$0" "$@"
folder=$1
shift
ip link set lo up
busybox httpd -f -p '[::1]:8000' -h "$folder" &
httpd=$!
while ! busybox wget -q -O "$folder/got" 'http://[::1]:8080/said' 2>/dev/null; do
    sleep 0.3
done && mv "$folder/got" "$folder/forward" &
asking=$!
"$@"
status=$?
kill $httpd $asking 2>/dev/null
exit $status
