#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Fetches a guest kernel and prints the directory that holds it:
#
#     kernel              bzImage or ELF vmlinux, as its maker ships it
#     vmlinux             of Debian's kernels: the ELF file inside the bzImage
#     lib/modules/V       the modules a small guest needs, with modules.dep
#     package             what it is, in one line
#
# Usage: guest-kernel.sh [--update] [--build] NAME
#
# NAME is default or fast (ours, when `microvm-build kernel` has built them; the bzImage
# is named, and the ELF file is vmlinux), debian-cloud-6.1, debian-6.1, debian-cloud-6.12 or debian-6.12 (Debian's
# kernels for 64-bit PCs; 6.12 is bookworm-backports'), lean (a small kernel of our own
# configuration), ring3 (a laboratory kernel that runs where KVM has no hardware
# virtualization) or ring3-tun (that with tun and WireGuard, built once: ring3-kernel.sh,
# some minutes, only with --build). lean and ring3 are files: MICROVM_LEAN_KERNEL and
# MICROVM_RING3_KERNEL name them, else ../shared/testbed beside the source tree is looked
# at; MICROVM_RING3_TUN_KERNEL names the last.
#
# What was fetched stays in ${XDG_CACHE_HOME:-~/.cache}/libmicrovm/guests under the name
# and version of its package; --update looks for a newer one. A kernel that cannot be
# had is named with the reason on standard error, and the exit status is 3.
set -euo pipefail

source=$(cd "$(dirname "$0")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/libmicrovm/guests
testbed=$source/../shared/testbed
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
mirror=http://deb.debian.org/debian

update= build=
while :; do
    case ${1:-} in
    --update) update=yes ;;
    --build) build=yes ;;
    *) break ;;
    esac
    shift
done
name=${1:-}

absent() {
    echo "guest-kernel.sh: $name: $*" >&2
    exit 3
}

# ---- kernels that are files --------------------------------------------------------

from_file() { # VARIABLE FILE
    local file=${!1:-}
    if [ -z "$file" ]; then
        file=$testbed/$2
        [ -e "$file" ] || absent "not here: set $1 to its vmlinux (looked for $file)"
    fi
    [ -e "$file" ] || absent "$1 names $file, which does not exist"
    local id dir
    id=$(sha256sum "$file" | cut -c1-12)
    dir=$cache/$name-$id
    if [ ! -e "$dir/package" ]; then
        mkdir -p "$dir"
        case $file in
        *.xz) xz -dc "$file" >"$dir/kernel.$$" ;;
        *) cp "$file" "$dir/kernel.$$" ;;
        esac
        mv "$dir/kernel.$$" "$dir/kernel"
        ln -sf kernel "$dir/vmlinux"
        echo "$name, $(basename "$file"), sha256 $id..." >"$dir/package"
    fi
    echo "$dir"
}

# ---- our own, once they are built ------------------------------------------------------

from_build() { # VARIANT
    local built=${XDG_CACHE_HOME:-$HOME/.cache}/microvm/kernels/$1-x86_64 dir
    local from=$source/guest/kernel how="it takes some minutes: microvm-build kernel --variant $1"
    [ -e "$built/vmlinux" ] || absent "not built yet; $how"
    built=$(readlink -f "$built")
    grep -q "$(cat "$from/common.config" "$from/x86_64.config" "$from/$1.config" \
        "$from/$1-x86_64.config" | sha256sum | cut -c1-64)" "$built/about" ||
        absent "built of another configuration than guest/kernel is now; $how"
    dir=$cache/$1-$(basename "$built")
    if [ ! -e "$dir/package" ]; then
        mkdir -p "$dir"
        ln -sf "$built/vmlinux" "$dir/vmlinux"
        ln -sf "$built/vmlinuz" "$dir/kernel"
        echo "$name, $(head -1 "$built/about"), $(basename "$built")" >"$dir/package"
    fi
    echo "$dir"
}

from_patch() {
    local dir=$cache/ring3-tun
    if [ -n "${MICROVM_RING3_TUN_KERNEL:-}" ]; then
        from_file MICROVM_RING3_TUN_KERNEL -
        return
    fi
    if [ ! -e "$dir/package" ] || [ -n "$update" ]; then
        [ -n "$build$update" ] ||
            absent "not built yet; it takes some minutes: $0 --build $name"
        "$source/tools/ring3-kernel.sh" "$dir" >&2 || exit 3
    fi
    echo "$dir"
}

# ---- Debian's kernels --------------------------------------------------------------

# Folders of the module tree that a guest with virtio devices can need.
module_folders="drivers/virtio drivers/block drivers/char drivers/acpi drivers/input
    drivers/net/virtio_net drivers/net/net_failover net/core net/vmw_vsock net/9p
    drivers/net/tun drivers/net/wireguard net/ipv4/udp_tunnel net/ipv6/ip6_udp_tunnel
    drivers/vhost arch/x86/crypto crypto lib fs/ext4 fs/jbd2 fs/mbcache
    fs/squashfs fs/overlayfs fs/fuse fs/9p fs/netfs fs/fscache fs/nls fs/isofs"

apt_options=()
work= # removed however we end
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

# A package list of one suite in our cache: the machine's own sources stay untouched.
use_suite() { # SUITE
    local state=$cache/apt-$1
    mkdir -p "$state/lists/partial" "$state/archives/partial"
    echo "deb [signed-by=$keyring] $mirror $1 main" >"$state/sources.list"
    apt_options=(-o Dir::Etc::sourcelist="$state/sources.list"
        -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$state/lists"
        -o Dir::Cache="$state" -o APT::Sandbox::User=root)
    if [ -n "$update" ] || [ -z "$(ls "$state/lists" | grep Packages)" ]; then
        apt-get -q "${apt_options[@]}" update >&2 || true
    fi
}

# The package behind the meta package, when it is of the wanted version.
image_of() { # META VERSION
    apt-cache "${apt_options[@]}" depends "$1" 2>/dev/null |
        sed -n "s/^ *Depends: \(linux-image-$2[.0-9][^ ]*\)/\1/p" | head -1
}

find_package() { # META VERSION SUITE
    image_of "$1" "$2" | grep . && return
    if [ "$(id -u)" = 0 ] && [ "$3" = bookworm ]; then
        apt-get -q update >&2 || true
        image_of "$1" "$2" | grep . && return
    fi
}

unpack() { # DEB DIRECTORY
    local f patterns=('./boot/vmlinuz-*' './*lib/modules/*/modules.*')
    for f in $module_folders; do
        patterns+=("./*lib/modules/*/kernel/$f*")
    done
    dpkg-deb --fsys-tarfile "$1" |
        tar -x -C "$2" --wildcards "${patterns[@]}" 2>/dev/null || true
    [ ! -d "$2/usr/lib/modules" ] || mv "$2/usr/lib" "$2/lib"
    mv "$2"/boot/vmlinuz-* "$2/kernel"
    rm -rf "$2/boot" "$2/usr"
    /sbin/depmod -b "$2" "$(ls "$2/lib/modules")" 2>/dev/null
    "$source/tools/guest-vmlinux.py" "$2/kernel" "$2/vmlinux"
}

from_debian() { # META VERSION SUITE
    local link=$cache/$name dir deb package
    if [ -z "$update" ] && [ -e "$link/package" ] &&
        [ "$(cat "$link/folders" 2>/dev/null)" = "$module_folders" ]; then
        readlink -f "$link"
        return
    fi
    command -v apt-get >/dev/null || absent "needs apt-get (this is no Debian system)"
    mkdir -p "$cache"
    package=$(find_package "$@") || true
    if [ -z "$package" ]; then
        use_suite "$3"
        package=$(image_of "$1" "$2")
    fi
    [ -n "$package" ] || absent "no $1 of version $2 in the machine's sources or in $3"
    work=$cache/new-$name-$$
    mkdir -p "$work/tree"

    (cd "$work" && apt-get -q "${apt_options[@]}" -o APT::Sandbox::User=root \
        download "$package") >&2 || absent "apt-get download $package failed"
    deb=$(ls "$work"/*.deb)
    dir=$cache/$(basename "$deb" .deb)
    if [ "$(cat "$dir/folders" 2>/dev/null)" != "$module_folders" ]; then
        unpack "$deb" "$work/tree"
        basename "$deb" .deb >"$work/tree/package"
        echo "$module_folders" >"$work/tree/folders"
        rm -rf "$dir"
        mv "$work/tree" "$dir"
    fi
    ln -sfn "$(basename "$dir")" "$link"
    echo "$dir"
}

case $name in
default | fast) from_build "$name" ;;
debian-cloud-6.1) from_debian linux-image-cloud-amd64 6.1 bookworm ;;
debian-6.1) from_debian linux-image-amd64 6.1 bookworm ;;
debian-cloud-6.12) from_debian linux-image-cloud-amd64 6.12 bookworm-backports ;;
debian-6.12) from_debian linux-image-amd64 6.12 bookworm-backports ;;
lean) from_file MICROVM_LEAN_KERNEL kernels/vmlinux-lean-x86_64.xz ;;
ring3) from_file MICROVM_RING3_KERNEL ring3/vmlinux-r3.xz ;;
ring3-tun) from_patch ;;
*)
    echo "usage: guest-kernel.sh [--update] [--build] NAME; names: default fast" \
        "debian-cloud-6.1 debian-6.1 debian-cloud-6.12 debian-6.12 lean ring3 ring3-tun" >&2
    exit 2
    ;;
esac
