#!/usr/bin/env bash
# The programs with which manual page, completions, services and packages are tested.
#
# usage: scripts/tools.sh install       installs what is missing of them (Debian, Ubuntu)
#        scripts/tools.sh openrc DIR    unpacks OpenRC into DIR, to be tried there; nothing is installed
#        scripts/tools.sh mutants       installs cargo-mutants, for scripts/mutants.sh
set -euo pipefail
umask 022

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
    cd "$work"
    # As this user, and not as apt's own: for that one the directory would have to be open to others, who could slip
    # in a package. apt compares the checksums with its signed lists in any case.
    local download=(apt-get -q -o "APT::Sandbox::User=$(id -un)" download "${packages[@]}")
    # With an old list of packages, or none, there is nothing to download.
    "${download[@]}" >/dev/null 2>&1 || { apt_get update && "${download[@]}" >/dev/null 2>&1; } ||
        fail "cannot download ${packages[*]} (its own words: apt-get download ${packages[*]})"
    cd "$OLDPWD"
    mkdir -p "$1"
    for package in "$work"/*.deb; do dpkg -x "$package" "$1"; done
}

install_mutants() {
    local version=27.1.0
    [ "$(cargo mutants --version 2>/dev/null)" = "cargo-mutants $version" ] ||
        cargo install --quiet --locked "cargo-mutants@$version"
}

case ${1-} in
install) install_packages missing_tools ;;
mutants) install_mutants ;;
openrc) unpack_openrc "${2?a directory is expected (see --help)}" ;;
-h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
