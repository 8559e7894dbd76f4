#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Installs the Debian packages that building and testing need, asking nothing.
# Usage: deps.sh build|test|cross|demo|bench...      (each set includes `build`)
# Nothing happens, and nothing is printed, when everything is there.
set -euo pipefail

build="gcc libc6-dev make meson ninja-build pkg-config python3 libuv1-dev
    libjansson-dev liburing-dev libglib2.0-dev libpcre2-dev libseccomp-dev patch bzip2
    xz-utils musl-tools dpkg-dev perl linux-libc-dev libcurl4-openssl-dev libarchive-dev
    libssl-dev libsquashfs-dev libext2fs-dev"
test="flex bison bc libelf-dev clang-14 libclang-rt-14-dev llvm-14 clang-format-14 g++ libcmocka-dev
    python3-pytest acpica-tools busybox-static cpio e2fsprogs squashfs-tools expect
    xz-utils zstd lz4 kmod pciutils procps util-linux qemu-system-x86 fio
    socat ncat curl openssh-client openssh-server iperf3 passt iproute2 libarchive-tools
    netcat-openbsd openvpn openssl wireguard-tools wireguard-go docker-registry skopeo umoci mmdebstrap autoconf automake libtool liblz4-dev"
cross="gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
    gcc-mingw-w64-x86-64-win32 wine64 python3-venv dpkg-dev patch xz-utils"
demo="busybox-static kmod xz-utils zstd lz4 qemu-system-x86 ca-certificates"
bench="qemu-system-x86 xz-utils cpio strace squashfs-tools-ng"

wanted=$build
for set in "${@:-build}"; do
    case $set in
    build | test | cross | demo | bench) wanted="$wanted ${!set}" ;;
    *)
        echo "deps.sh: there is no set '$set'; use build, test, cross, demo or bench" >&2
        exit 2
        ;;
    esac
done

# shellcheck disable=SC2086
wanted=$(printf '%s\n' $wanted | sort -u)

if ! command -v dpkg-query >/dev/null; then
    # No package names of other systems here; the build says itself what it lacks.
    echo "deps.sh: no Debian system, nothing installed; needed is what these hold:" $wanted >&2
    exit 0
fi

# A package that another one provides (pkgconf for pkg-config) counts as installed.
have=$(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' |
    sed -n 's/^installed //p' | sed 's/([^)]*)//g' | tr ', ' '\n\n' | sort -u)
missing=$(comm -23 <(echo "$wanted") <(echo "$have"))
[ -n "$missing" ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "deps.sh: packages are missing; run as root: apt-get install" $missing >&2
        exit 1
    fi
fi
echo "deps.sh: installing" $missing
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086
if ! { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends $missing; } \
    </dev/null >"$log" 2>&1; then
    tail -20 "$log" >&2
    echo "deps.sh: apt-get failed (see above); the packages were:" $missing >&2
    exit 1
fi
