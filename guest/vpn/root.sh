#!/bin/sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# The VPN gateway's root file system but for its daemons: root.sh FOLDER BUSYBOX makes it
# in FOLDER, with modes that do not depend on whose computer this is. What is in it has
# the names that the specification gives (R149-R155), beside those that guests have today.
set -eu
out=$1 busybox=$2 loader=/lib/ld-musl-$(uname -m).so.1 # of the package musl
umask 022
rm -rf "$out"
mkdir -p "$out/bin" "$out/sbin" "$out/lib" "$out/etc" "$out/velocitty"

install -m 755 "$busybox" "$out/bin/busybox"
install -m 755 "$(realpath "$loader")" "$out/lib/${loader##*/}"
applets=$("$loader" "$busybox" --list-full)
for applet in $applets; do
    mkdir -p "$out/${applet%/*}"
    [ "$applet" = bin/busybox ] || ln -s /bin/busybox "$out/$applet"
done

ln -s /init "$out/sbin/init"
ln -s /usr/sbin/openvpn "$out/sbin/openvpn"
ln -s /usr/sbin/vpnd "$out/velocitty/daemon"
echo 'root:x:0:0:root:/:/bin/sh' >"$out/etc/passwd"
echo 'root:x:0:' >"$out/etc/group"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$out/etc/hosts"
echo '# Written when the network is there.' >"$out/etc/resolv.conf"
