#!/usr/bin/env bash
# Builds static binaries that run on any Linux of their processor, and puts them into dist/ with their checksums.
#
# usage: scripts/build-static.sh [--windows] [--output DIR] [TARGET...]
#
# TARGET: x86_64 (PC, server), aarch64 (64-bit ARM), armv7 (32-bit ARM with hardware floating point), arm (ARMv6, the
# first Raspberry Pi); all four if none is given. --windows adds dbsync2-windows-x86_64.exe; TARGET windows is that alone.
#
# On a bare Debian 12 it installs what is missing (as root, or with sudo), elsewhere it needs cargo (by rustup), a C
# compiler and python3 with venv. zig, the C compiler and linker for all targets, comes from PyPI. Rust's standard
# library for a target comes from the first of these that can be had, and the script says which:
#   rustup     rustup target add
#   source     rustup component add rust-src, compiled here
#   packages   Debian's rustc-web, cargo-web and rust-web-src, compiled here
# For 32-bit ARM rustup comes last: its standard library counts time in 32 bits, which end in 2038.
#
# BUILD_STATIC_WAY     takes only this way, or these
# BUILD_STATIC_FLAGS   further flags for cargo, such as --no-default-features (no SQLite)
# CARGO_TARGET_DIR     where cargo keeps what it compiles (target): a second run takes it from there
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
    echo "build-static.sh: $*" >&2
    exit 1
}
say() { printf '\n== %s\n' "$*"; }

output=dist
targets=()
windows=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    --windows) windows=1 ;;
    --output)
        [ $# -gt 1 ] || fail "--output needs a directory"
        output=$2
        shift
        ;;
    x86_64 | aarch64 | armv7 | arm | windows) targets+=("$1") ;;
    *)
        echo "build-static.sh: '$1' is none of --windows, --output, x86_64, aarch64, armv7, arm, windows (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || targets=(x86_64 aarch64 armv7 arm)
[ -z "$windows" ] || targets+=(windows)

# What cargo calls a target.
triple() {
    case $1 in
    x86_64) echo x86_64-unknown-linux-musl ;;
    aarch64) echo aarch64-unknown-linux-musl ;;
    armv7) echo armv7-unknown-linux-musleabihf ;;
    arm) echo arm-unknown-linux-musleabihf ;;
    windows) echo x86_64-pc-windows-gnu ;;
    esac
}
# What the file is called.
file_name() {
    case $1 in
    windows) echo dbsync2-windows-x86_64.exe ;;
    *) echo "dbsync2-linux-$1" ;;
    esac
}

# Before Debian's, which may be there as well.
[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
work=${CARGO_TARGET_DIR:-$PWD/target}/static
mkdir -p "$work" "$output"
work=$(cd "$work" && pwd)
output=$(cd "$output" && pwd)

# ---- what is installed --------------------------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || fail "not root, and there is no sudo (run as root: $*)"
        sudo "$@"
    fi
}

install_packages() {
    command -v apt-get >/dev/null || fail "missing: $* (those are Debian's names; install them by hand)"
    say "Installing $*"
    # --no-remove: rustc-web takes the place of Debian's rustc and rustup, which the admin may want to keep.
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60)
    { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends --no-remove "$@"; } >"$work/apt.log" 2>&1 || {
        tail -n 20 "$work/apt.log" >&2
        fail "cannot install $* (apt-get's messages stand above)"
    }
}

missing=()
command -v python3 >/dev/null && python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)
# For build scripts, which run here.
command -v cc >/dev/null || missing+=(gcc libc6-dev)
[ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || missing+=(ca-certificates)
[ ${#missing[@]} = 0 ] || install_packages "${missing[@]}"

zig=0.15.2
zigbuild=0.24.0
venv=$work/venv
if [ "$(cat "$venv/versions" 2>/dev/null)" != "$venv $zig $zigbuild" ]; then
    say "Fetching zig $zig and cargo-zigbuild $zigbuild"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "ziglang==$zig" "cargo-zigbuild==$zigbuild"
    echo "$venv $zig $zigbuild" >"$venv/versions"
fi
export PATH=$venv/bin:$PATH

# ---- the standard library of a target -----------------------------------------------------------------------

has_rustup() { command -v rustup >/dev/null && rustup show active-toolchain >/dev/null 2>&1; }
way_rustup() { has_rustup && rustup target add "$1" >"$work/rustup.log" 2>&1; }
way_source() { has_rustup && rustup component add rust-src >"$work/rustup.log" 2>&1; }
way_packages() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -e /usr/lib/rustlib/src/rust/library/Cargo.lock ] && return
    command -v apt-get >/dev/null && install_packages rustc-web cargo-web rust-web-src
}

# Finds a way to the standard library; sets $way.
find_way() { # TARGET TRIPLE
    local ways='rustup source packages'
    case $1 in arm*) ways='source packages rustup' ;; esac
    for way in ${BUILD_STATIC_WAY:-$ways}; do
        if "way_$way" "$2"; then return; fi
    done
    fail "no standard library for $2 (see --help for the ways)"
}

# ---- building -----------------------------------------------------------------------------------------------

cargo_home=${CARGO_HOME:-$HOME/.cargo}

# What every way has in common. Neither zig nor rustc look at the clock; the paths below are all that differs.
compile() { # TRIPLE SYSROOT CARGO...
    local flags
    # zig brings start-up files and C library.
    flags="-Clink-self-contained=no"
    flags+=" --remap-path-prefix=$PWD=. --remap-path-prefix=$cargo_home=cargo --remap-path-prefix=$2=rust"
    # shellcheck disable=SC2086 # several flags
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$work "${@:3}" zigbuild --locked --profile small --bin dbsync2 --target "$1" \
        ${BUILD_STATIC_FLAGS-}
}

build() { # TARGET
    local target
    # The standard library is compiled with the program, with a clock of 64 bits on 32-bit processors.
    local from_source=(env RUSTC_BOOTSTRAP=1 RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1 'CARGO_UNSTABLE_BUILD_STD=std,panic_unwind')
    target=$(triple "$1")
    find_way "$1" "$target"
    say "$1: $target, standard library by: $way"
    case $way in
    rustup) compile "$target" "$(rustc --print sysroot)" cargo ;;
    source) compile "$target" "$(rustc --print sysroot)" "${from_source[@]}" cargo ;;
    packages)
        # Debian's tools lie beside rustup's, which stay untouched.
        compile "$target" "$(/usr/bin/rustc --print sysroot)" "${from_source[@]}" CARGO=/usr/bin/cargo \
            RUSTC=/usr/bin/rustc PATH="$venv/bin:/usr/bin:/bin" /usr/bin/cargo
        ;;
    esac
    local built=$work/$target/small/dbsync2
    [ "$1" != windows ] || built+=.exe
    install -m 755 "$built" "$output/$(file_name "$1")"
}

for target in "${targets[@]}"; do build "$target"; done

cd "$output"
sha256sum dbsync2-* >SHA256SUMS
say "Built in $output"
ls -l dbsync2-*
