#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds openvpn for guests, static, with musl, from Debian 13's source packages of
# openvpn, openssl, lz4 and lzo2, and prints the folder that it is in. Once: the result is
# kept in $MICROVM_CACHE (default ~/.cache/libmicrovm). The same sources, compiler and
# script give the same bytes; `versions` beside it says which sources they were.
# OpenSSL, not mbed TLS, although it is a megabyte larger: with the other one openvpn has
# neither TLS 1.3 nor PKCS#12.
# Usage: openvpn.sh [--update | --cached]     --update: build it again, from what Debian has now;
#                                           --cached: nothing is fetched or built
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck source=tools/debian-source.sh
. "$here/debian-source.sh"

prefix=$cache/openvpn-$(cat "$0" "$here/debian-source.sh" | sha256sum | cut -c -8)
if [ -x "$prefix/openvpn" ] && [ "${1:-}" != --update ]; then
    echo "$prefix"
    exit 0
fi
[ "${1:-}" != --cached ] || exit 1
for tool in musl-gcc make perl patch; do
    command -v "$tool" >/dev/null || fail "$tool is missing; 'tools/deps.sh build' installs it"
done
debian_begin "put a static openvpn into build/guest"
for package in openvpn openssl lz4 lzo2; do
    debian_source "$package" "$package"
done

# Nothing of the place or the day goes into the program, not even by way of the flags that
# OpenSSL remembers: they are the wrapper's. So is -static, which libtool would drop. Kernel
# headers come after musl's.
export SOURCE_DATE_EPOCH=1 LC_ALL=C PATH=$work/bin:$PATH
mkdir bin
cat >bin/guest-cc <<END
#!/bin/sh
exec musl-gcc "\$@" -static -Os -ffunction-sections -fdata-sections -ffile-prefix-map=$work=. \
    -idirafter /usr/include -idirafter /usr/include/$(gcc -dumpmachine)
END
chmod 755 bin/guest-cc
jobs=${JOBS:-$(nproc)}

build() { # NAME COMMAND...
    local name=$1
    shift
    (cd "$name" && "$@") >log 2>&1 || fail "building $name: $(tail -5 log)"
}
openssl() {
    # What no profile of the last ten years asks for is left out; DES, Blowfish, RC2 and
    # MD5 are not: old servers and PKCS#12 files have them.
    CC=guest-cc ./Configure linux-"$(uname -m)" --prefix=/usr --openssldir=/etc/ssl no-shared \
        no-module no-engine no-async no-afalgeng no-dso no-apps no-tests no-docs no-dtls no-quic \
        no-srp no-psk no-sctp no-cms no-ts no-ct no-ocsp no-http no-comp no-ssl-trace no-makedepend \
        no-idea no-seed no-camellia no-aria no-sm2 no-sm3 no-sm4 no-whirlpool no-rmd160 no-gost \
        no-ml-dsa no-slh-dsa no-ssl3 no-tls1 no-tls1_1 no-pic
    make -j"$jobs" build_libs
}
lzo() {
    ./configure CC=guest-cc CFLAGS= --disable-shared --enable-static
    make -j"$jobs" src/liblzo2.la
}
# It wants libcap-ng, to keep CAP_NET_ADMIN as another user: of no use where it is alone.
vpn() {
    ./configure CC=guest-cc CFLAGS= LDFLAGS="-s -Wl,--gc-sections" \
        --disable-plugins --disable-dco --disable-unit-tests --disable-debug --disable-port-share \
        OPENSSL_CFLAGS="-I$work/openssl/include" OPENSSL_LIBS="-L$work/openssl -lssl -lcrypto" \
        LZO_CFLAGS="-I$work/lzo2/include" LZO_LIBS="-L$work/lzo2/src/.libs -llzo2" \
        LZ4_CFLAGS="-I$work/lz4/lib" LZ4_LIBS="-L$work/lz4/lib -llz4" \
        LIBCAPNG_CFLAGS=" " LIBCAPNG_LIBS=" "
    sed -i '/HAVE_LIBCAPNG/d; s/^#define CONFIGURE_DEFINES .*/#define CONFIGURE_DEFINES ""/' config.h
    make -j"$jobs"
}
build lz4 make -C lib -j"$jobs" liblz4.a CC=guest-cc CFLAGS=
build lzo2 lzo
build openssl openssl
build openvpn vpn
mkdir -p "$prefix"
! readelf -l openvpn/src/openvpn/openvpn | grep -q INTERP || fail "it came out dynamic"
install -m 644 versions "$prefix/versions"
install openvpn/src/openvpn/openvpn "$prefix/openvpn.new"
mv "$prefix/openvpn.new" "$prefix/openvpn"
echo "$prefix"
