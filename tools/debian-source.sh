# SPDX-License-Identifier: MIT OR Apache-2.0
# shellcheck shell=bash
# What scripts share that build a program or a library from Debian 13's source packages
# (erofs.sh, libslirp.sh, openvpn.sh), to be sourced by them. apt checks what it brings
# against Debian's signed index; nothing outside of the cache is changed, and no root is
# needed.

cache=${MICROVM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/libmicrovm}

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

# A folder $work for this run, the current one from then on, with Debian 13's index. The
# word is what to do where this is no Debian.
debian_begin() { # OTHERWISE
    local suite keys=/usr/share/keyrings/debian-archive-keyring.gpg
    command -v apt-get >/dev/null || fail "this is no Debian: $1"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    chmod 755 "$work"
    cd "$work" || exit
    for suite in "debian trixie" "debian-security trixie-security"; do
        echo "deb-src [signed-by=$keys] http://deb.debian.org/$suite main"
    done >sources.list
    mkdir lists
    debian_apt=(-q -o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=-
        -o "Dir::State::lists=$work/lists" -o APT::Sandbox::User=root)
    apt-get "${debian_apt[@]}" update >log 2>&1 || fail "apt-get update: $(tail -3 log)"
}

# Unpacks a package into the folder, with Debian's patches: that version, or the newest of
# which the mirror has both archives (the index can be ahead of it). The .dsc is not needed,
# nor dpkg-source.
debian_source() { # PACKAGE FOLDER [VERSION]
    local versions version files patch
    versions=${3:-$(apt-cache "${debian_apt[@]}" showsrc "$1" 2>/dev/null |
        sed -n 's/^Version: //p' | sort -Vru)}
    for version in $versions; do
        files=${version#*:}
        apt-get "${debian_apt[@]}" source --download-only "$1=$version" >log 2>&1 || true
        if compgen -G "$1_${files%-*}.orig.tar.*z*" >/dev/null &&
            [ -e "$1_$files.debian.tar.xz" ]; then
            echo "$1 $version" >>versions
            [ "$version" = "${versions%%$'\n'*}" ] || echo "$(basename "$0"): $1: the mirror" \
                "has no archives of ${versions%%$'\n'*} yet, $version is taken" >&2
            break
        fi
        version=
    done
    [ "${version:-}" ] || fail "apt-get source $1: $(tail -3 log)"
    mkdir "$2"
    tar -xf "$(compgen -G "$1_${files%-*}.orig.tar.*z*" | grep -v '\.asc$')" -C "$2" --strip-components=1
    tar -xf "$1_$files.debian.tar.xz" -C "$2"
    [ -e "$2/debian/patches/series" ] || return 0
    while read -r patch; do
        [ -z "${patch%%#*}" ] || patch -s -p1 -d "$2" <"$2/debian/patches/${patch%% *}"
    done <"$2/debian/patches/series"
}
