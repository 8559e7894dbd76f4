#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds busybox for guests, with musl, from Debian 13's source package, and prints the
# folder that it is in. Once: the result is kept in $MICROVM_CACHE (default
# ~/.cache/libmicrovm). The same sources, compiler and script give the same bytes;
# `versions` beside it says which sources they were. It is linked with musl's library as
# Alpine's is: what else is put into such a guest finds that library there.
# Usage: busybox.sh [--update | --cached]     --update: build it again, from what Debian has now;
#                                           --cached: nothing is fetched or built
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tools/debian-source.sh
. "$here/debian-source.sh"

prefix=$cache/busybox-$(cat "$0" "$here/debian-source.sh" | sha256sum | cut -c -8)
if [ -x "$prefix/busybox" ] && [ "${1:-}" != --update ]; then
    echo "$prefix"
    exit 0
fi
[ "${1:-}" != --cached ] || exit 1
for tool in musl-gcc make patch strip; do
    command -v "$tool" >/dev/null || fail "$tool is missing; 'tools/deps.sh build' installs it"
done
debian_begin "put a busybox into build/guest"
debian_source busybox busybox

# Nothing of the place or the day goes into the program. Kernel headers come after musl's.
export SOURCE_DATE_EPOCH=1 LC_ALL=C PATH=$work/bin:$PATH
mkdir bin
cat >bin/guest-cc <<END
#!/bin/sh
exec musl-gcc "\$@" -ffile-prefix-map=$work=. \
    -idirafter /usr/include -idirafter /usr/include/$(gcc -dumpmachine)
END
chmod 755 bin/guest-cc

# All of it but a first process and what talks to one (microvm-init is there), and tc, which
# wants kernel headers of old. A shell knows its own commands without links to them.
off='TC INIT LINUXRC HALT POWEROFF REBOOT BOOTCHARTD RUNLEVEL'
on='FEATURE_PREFER_APPLETS FEATURE_SH_STANDALONE'
make -C busybox defconfig >log 2>&1 || fail "configuring busybox: $(tail -5 log)"
sed -i -E "s/^CONFIG_(${off// /|})=y/# CONFIG_\1 is not set/
    s/^# CONFIG_(${on// /|}) is not set/CONFIG_\1=y/" busybox/.config
make -C busybox -j"${JOBS:-$(nproc)}" CC=guest-cc SKIP_STRIP=y busybox >log 2>&1 </dev/null ||
    fail "building busybox: $(tail -5 log)"
strip busybox/busybox
mkdir -p "$prefix"
install -m 644 versions "$prefix/versions"
install busybox/busybox "$prefix/busybox.new"
mv "$prefix/busybox.new" "$prefix/busybox"
echo "$prefix"
