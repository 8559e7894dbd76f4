#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs a command in a network of its own, in which the host is 172.30.77.1 behind a
# bridge-less tap "mvt0", serves FOLDER by HTTP on port 8000 and answers iperf3; or
# behind passt at SOCKET, or has these on its loopback alone, for the user network. So
# nothing of the computer's network is touched.
# Usage: network.sh tap|passt|user FOLDER COMMAND [ARG...]
[ "$MV_INSIDE" ] || exec env MV_INSIDE=1 unshare -n sh "$0" "$@"
kind=$1 folder=$2
shift 2
ip link set lo up
if [ "$kind" = tap ]; then
    ip tuntap add mvt0 mode tap vnet_hdr && ip addr add 172.30.77.1/24 dev mvt0 &&
        ip link set mvt0 up || exit 77
elif [ "$kind" = passt ]; then
    # Something that passt can take its addresses from. Its gateway's address, for the
    # guest, is this host.
    ip tuntap add outside mode tap && ip addr add 172.30.77.3/24 dev outside &&
        ip link set outside up && ip route add default via 172.30.77.1 || exit 77
    passt -f -s "$folder/passt.socket" --runas 0 >"$folder/passt.log" 2>&1 &
    passt=$!
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        [ -S "$folder/passt.socket" ] || sleep 0.3
    done
fi
busybox httpd -f -p 8000 -h "$folder" &
httpd=$!
iperf3 -s >"$folder/iperf.log" 2>&1 &
iperf=$!
sleep 0.3
"$@"
status=$?
kill $httpd $iperf $passt 2>/dev/null
exit $status
