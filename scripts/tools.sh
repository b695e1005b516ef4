#!/usr/bin/env bash
# The programs with which manual page, completions, services and packages are tested.
#
# usage: scripts/tools.sh install       installs what is missing of them (Debian, Ubuntu)
#        scripts/tools.sh openrc DIR    unpacks OpenRC into DIR, to be tried there; nothing is installed
set -euo pipefail

fail() {
    echo "tools.sh: $*" >&2
    exit 1
}

# shellcheck source=scripts/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

missing_tools() {
    find_program man >/dev/null || echo man-db
    local tool
    for tool in mandoc zsh fish busybox shellcheck; do
        find_program "$tool" >/dev/null || echo "$tool"
    done
    find_program strip >/dev/null || echo binutils
    find_program systemd-analyze >/dev/null || echo systemd
    find_program script >/dev/null || echo bsdutils
}

unpack_openrc() { # DIR
    local -a packages=(openrc librc1 libeinfo1)
    local work package
    work=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-openrc.XXXXXX")
    # shellcheck disable=SC2064 # now
    trap "rm -rf '$work'" EXIT
    # apt downloads as a user of its own where it can.
    chmod 777 "$work"
    cd "$work"
    # With an old list of packages, or none, there is nothing to download.
    apt-get -q download "${packages[@]}" >/dev/null 2>&1 ||
        { apt_get update && apt-get -q download "${packages[@]}" >/dev/null 2>&1; } ||
        fail "cannot download ${packages[*]} (its own words: apt-get download ${packages[*]})"
    cd "$OLDPWD"
    mkdir -p "$1"
    for package in "$work"/*.deb; do dpkg -x "$package" "$1"; done
}

case ${1-} in
install) install_packages missing_tools ;;
openrc) unpack_openrc "${2?a directory is expected (see --help)}" ;;
-h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
