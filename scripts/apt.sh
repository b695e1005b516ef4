# Read by other scripts, which have a function fail: installs packages of Debian or Ubuntu by apt.
# shellcheck shell=bash

find_program() {
    # Daemons stand in sbin, which is not in an ordinary user's PATH.
    PATH="$PATH:/usr/sbin:/usr/local/sbin:/sbin" command -v "$1"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "cannot install packages: not root, and there is no sudo (run as root: $*)"
        sudo "$@"
    fi
}

apt_get() {
    # The lock is held while another apt runs, for instance just after boot.
    local try output
    for try in 1 2 3 4 5; do
        [ "$try" = 1 ] || sleep 10
        output=$(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 "$@" 2>&1) &&
            return
    done
    printf '%s\n' "$output" >&2
    fail "cannot run apt-get $* (its messages stand above)"
}

# Installs what a function prints, until it prints nothing. In a shell of its own, as the script may have a trap, too.
install_packages() ( # FUNCTION [OPTION OF APT-GET INSTALL...]
    local -a packages
    mapfile -t packages < <("$1")
    [ "${#packages[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null ||
        fail "cannot install ${packages[*]}: this is neither Debian nor Ubuntu (install them by hand)"
    printf 'Installing %s\n' "${packages[*]}"
    # Keeps the packages from starting services of their own; Debian's way to say so is this file.
    local policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null ||
            fail "cannot install ${packages[*]}: cannot write $policy (install them by hand)"
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        as_root chmod 755 "$policy"
    fi
    apt_get update
    apt_get install --no-install-recommends "${@:2}" "${packages[@]}"
    mapfile -t packages < <("$1")
    [ "${#packages[@]}" -eq 0 ] || fail "still missing after the installation: ${packages[*]}"
)
