#!/bin/bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Builds a guest kernel of Debian's Linux 6.12 (or another source) and the fragments
# beside this file. `microvm-build kernel` runs it and shows how far it is.
#
# Usage: build.sh --cache DIR [--arch x86_64|arm64] [--variant default|fast] [--jobs N]
#                 [--source FILE|DIR] [--config FILE]... [--update] [--configure]
#                 [--output DIR]
#
# A kernel is made once: what it is made of (source, fragments, recipe, compiler and
# linker) has a digest, and the result lies in DIR/ of that name:
#
#     vmlinux     ELF, stripped        vmlinuz     the bzImage (arm64: Image)
#     config      its .config          about       what it was made of
#
# DIR/VARIANT-ARCH is a link to the latest one. While it is being built everything is in
# DIR/part; an interrupted build goes on from there, a finished one leaves nothing there.
# Equal digests give equal files: nothing of the time, the user and the place gets in.
#
# On standard output: lines "= NAME VALUE" about the build, "! TEXT" about what is wrong
# (the exit status is 1 then), and in between one line for each step of make.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
package=linux-source-6.12
recipe=1 # raised when what this script does makes another kernel of the same parts
arch=x86_64 variant=default cache= jobs=$(nproc) source= update= configure= output=
fragments=()

fail() {
    echo "! $*"
    exit 1
}

while [ $# -gt 0 ]; do
    case $1 in
    --arch) arch=$2 && shift ;;
    --variant) variant=$2 && shift ;;
    --cache) cache=$2 && shift ;;
    --jobs) jobs=$2 && shift ;;
    --source) source=$2 && shift ;;
    --config) fragments+=("$2") && shift ;;
    --output) output=$2 && shift ;;
    --update) update=yes ;;
    --configure) configure=yes ;;
    *) fail "unknown word '$1'" ;;
    esac
    shift
done
[ -n "$cache" ] || fail "--cache is missing"
mkdir -p "$cache/part"
cache=$(cd "$cache" && pwd -P)
export LC_ALL=C TZ=UTC
unset MAKEFLAGS MAKELEVEL KBUILD_OUTPUT KCONFIG_CONFIG # another make's

# How many steps make takes, nearly: for the progress display.
steps=2250
[ "$variant" = default ] || steps=1510

# ---- what it takes --------------------------------------------------------------------

host=$(uname -m)
[ "$host" != aarch64 ] || host=arm64
cross=
if [ "$arch" != "$host" ]; then
    case $arch in
    arm64) cross=aarch64-linux-gnu- ;;
    x86_64) cross=x86_64-linux-gnu- ;;
    esac
fi

check_tools() {
    local missing=() tool name
    for tool in make:make gcc:gcc flex:flex bison:bison bc:bc perl:perl-base tar:tar \
        xz:xz-utils cpio:cpio flock:util-linux "${cross}gcc:gcc-${cross}" \
        "${cross}ld:binutils-${cross}" lz4:lz4; do
        name=${tool#*:}
        name=${name%-}
        command -v "${tool%%:*}" >/dev/null || missing+=("${name//x86_64/x86-64}")
    done
    # objtool, which checks every object on x86, reads ELF files with it.
    if [ "$arch" = x86_64 ] && ! echo '#include <gelf.h>' | gcc -E - >/dev/null 2>&1; then
        missing+=(libelf-dev)
    fi
    [ ${#missing[@]} = 0 ] ||
        fail "the kernel cannot be built: not installed are $(echo "${missing[@]}");" \
            "on Debian and Ubuntu: sudo apt-get install $(echo "${missing[@]}")"
}

# ---- the source -----------------------------------------------------------------------

# The tarball of Debian's package, fetched once into the cache.
fetch_source() {
    local have dir=$cache/source new=$cache/part/fetch
    have=$(ls "$dir"/*.tar.xz 2>/dev/null | tail -1) || true
    if [ -z "$have" ] || [ -n "$update" ]; then
        command -v apt-get >/dev/null ||
            fail "this is no Debian system: name a source with --source," \
                "linux-6.12.*.tar.xz of https://kernel.org or its unpacked directory"
        rm -rf "$new"
        mkdir -p "$new" "$dir"
        echo "= doing fetching $package"
        (cd "$new" && apt-get -q download "$package" >log 2>&1) ||
            fail "apt-get download $package failed: $(grep '^E:' "$new/log" | head -1);" \
                "the package is in Debian 12's security updates and in Debian 13;" \
                "or name a source with --source"
        local deb name
        deb=$(ls "$new"/*.deb)
        name=$(basename "$deb" _all.deb).tar.xz
        dpkg-deb --fsys-tarfile "$deb" | tar -xO "./usr/src/$package.tar.xz" >"$new/tar"
        rm -f "$dir"/*.tar.xz*
        mv "$new/tar" "$dir/$name"
        rm -rf "$new"
        have=$dir/$name
    fi
    source=$have
}

# What the source is, whatever its place and its times.
source_digest() {
    if [ -d "$source" ]; then
        (cd "$source" && find . -name .git -prune -o -type f -print0 | sort -z |
            xargs -0 sha256sum | sha256sum | cut -c1-64)
        return
    fi
    local kept=$cache/source/$(basename "$source").sha256
    if [ "$(dirname "$source")" = "$cache/source" ] && [ -s "$kept" ]; then
        cat "$kept" # only we write there
        return
    fi
    sha256sum "$source" | cut -c1-64 >"$cache/part/digest.$$"
    cat "$cache/part/digest.$$"
    if [ "$(dirname "$source")" = "$cache/source" ]; then
        mv "$cache/part/digest.$$" "$kept"
    fi
    rm -f "$cache/part/digest.$$"
}

unpack_source() { # DIRECTORY
    [ ! -e "$1/Makefile" ] || return 0
    rm -rf "$1" "$1.new"
    mkdir -p "$1.new"
    echo "= doing unpacking"
    tar -xf "$source" -C "$1.new" --strip-components=1 --no-same-owner ||
        fail "$source: cannot be unpacked"
    [ -e "$1.new/Makefile" ] && [ -e "$1.new/Kconfig" ] ||
        fail "$source: no Linux source is in it (no Makefile and Kconfig at its top)"
    mv "$1.new" "$1"
}

# ---- the configuration ----------------------------------------------------------------

all_fragments() {
    echo "$here/common.config"
    echo "$here/$arch.config"
    echo "$here/$variant.config"
    [ ! -e "$here/$variant-$arch.config" ] || echo "$here/$variant-$arch.config"
    [ ${#fragments[@]} = 0 ] || printf '%s\n' "${fragments[@]}"
}

# Kconfig drops in silence what depends on something that is off, or does not exist.
check_config() { # FRAGMENTS .config
    awk -F= '
        FNR == NR { if (/^CONFIG_/) { want[$1] = substr($0, length($1) + 2); order[++n] = $1 } next }
        /^CONFIG_/ { have[$1] = substr($0, length($1) + 2) }
        END {
            for (i = 1; i <= n; i++) {
                name = order[i]
                is = name in have ? have[name] : "n"
                if (is != want[name] && !told[name]++) {
                    printf "! %s=%s was asked for and is %s in the kernel'\''s .config\n", name,
                        want[name], is
                    bad = 1
                }
            }
            exit bad
        }' "$1" "$2"
}

# ---- the build ------------------------------------------------------------------------

run_make() {
    make -C "$tree" O="$objects" ARCH="$arch" ${cross:+CROSS_COMPILE=$cross} "$@"
}

configure_kernel() {
    mkdir -p "$objects"
    all_fragments | while read -r f; do cat "$f"; done >"$objects/fragments"
    run_make -s KCONFIG_ALLCONFIG="$objects/fragments" allnoconfig >"$objects/log" 2>&1 || {
        tail -20 "$objects/log" | sed 's/^/! /'
        fail "configuring failed; the whole log is $objects/log"
    }
    check_config "$objects/fragments" "$objects/.config" ||
        fail "the fragments do not fit this source"
}

compile_kernel() {
    local what=vmlinux image=arch/x86/boot/bzImage
    [ "$arch" = x86_64 ] || image=arch/arm64/boot/Image
    echo "= doing compiling"
    echo "= total $steps"
    echo "= done $(find "$objects" -name '*.o' | wc -l)" # by a build that was stopped
    run_make -j"$jobs" "$what" "$(basename "$image")" 2>"$objects/log" || {
        tail -20 "$objects/log" | sed 's/^/! /'
        fail "compiling failed; the whole log is $objects/log"
    }
    rm -rf "$objects/out"
    mkdir "$objects/out"
    "${cross}strip" -o "$objects/out/vmlinux" "$objects/vmlinux"
    cp "$objects/$image" "$objects/out/vmlinuz"
    cp "$objects/.config" "$objects/out/config"
    printf 'linux %s\n%s\n' "$(run_make -s kernelrelease)" "$about" >"$objects/out/about"
}

# ---- all of it ------------------------------------------------------------------------

exec 9>"$cache/lock"
lock() {
    flock -n 9 || {
        echo "= doing waiting for another build"
        flock 9
    }
}

build_kernel() {
    objects=$cache/part/$key
    tree=$source
    if [ ! -d "$source" ]; then
        tree=$cache/part/source-${digest:0:16}
        unpack_source "$tree"
    fi
    # What the kernel says of itself in uname -v.
    export KBUILD_BUILD_TIMESTAMP=$date KBUILD_BUILD_USER=microvm \
        KBUILD_BUILD_HOST=microvm KBUILD_BUILD_VERSION=1
    configure_kernel
    if [ -n "$configure" ]; then
        echo "= config $objects/.config"
        exit 0
    fi
    compile_kernel
    rm -rf "$result"
    mv "$objects/out" "$result"
    rm -rf "$objects" "$cache/part"/source-*
}

# Whole files only, each at once.
copy_out() {
    local f
    mkdir -p "$output"
    for f in vmlinux vmlinuz config about; do
        cp "$result/$f" "$output/.$f.$$"
        mv "$output/.$f.$$" "$output/$f"
    done
    result=$(cd "$output" && pwd)
}

main() {
    check_tools
    for f in "${fragments[@]}"; do
        [ -r "$f" ] || fail "--config $f: cannot be read"
    done
    if [ -z "$source" ]; then
        lock
        fetch_source
        flock -u 9
    fi
    [ -e "$source" ] || fail "--source $source: does not exist"
    source=$(readlink -f "$source")
    digest=$(source_digest)
    # What uname -v says; the day of 6.12 is as true as any that is always the same.
    date=$(date -u -d "@${SOURCE_DATE_EPOCH:-1731801600}")
    # No name of a place in it: the same kernel wherever it is made.
    about="variant $variant
arch $arch
source-sha256 $digest
fragments-sha256 $(all_fragments | while read -r f; do cat "$f"; done | sha256sum | cut -c1-64)
recipe $recipe
date $date
compiler $("${cross}gcc" --version | head -1)
linker $("${cross}ld" --version | head -1)
compressor $(lz4 --version | head -1)"
    key=$(sha256sum <<<"$about" | cut -c1-16)
    result=$cache/$key

    if [ ! -e "$result/about" ] || [ -n "$configure" ]; then
        lock
        [ -e "$result/about" ] && [ -z "$configure" ] || build_kernel
    fi
    ln -sfn "$key" "$cache/$variant-$arch.$$"
    mv -T "$cache/$variant-$arch.$$" "$cache/$variant-$arch"
    [ -z "$output" ] || copy_out
    echo "= kernel $result"
}

# Read to its end before anything is done: a build outlives a change of this file.
{
    main
    exit
}
