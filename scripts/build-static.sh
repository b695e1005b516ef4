#!/usr/bin/env bash
# Builds static binaries that run on any Linux of their processor, and puts them into dist/ with their checksums.
#
# usage: scripts/build-static.sh [--windows] [--output DIR] [TARGET...]
#
# TARGET: x86_64 (PC, server), aarch64 (64-bit ARM), armv7 (32-bit ARM with hardware floating point), arm (ARMv6, the
# first Raspberry Pi); all four if none is given. --windows adds dbsync2-windows-x86_64.exe.
#
# Needs cargo and python3 with venv. zig, the C compiler and linker for all targets, comes from PyPI. Rust's standard
# library for a target comes from the first of these that can be had, and the script says which:
#   rustup     rustup target add
#   source     rustup component add rust-src, compiled here
#   packages   Debian's rustc-web, cargo-web and rust-web-src (installed as root), compiled here
# BUILD_STATIC_WAY takes only one of them. BUILD_STATIC_FLAGS holds further flags for cargo, such as
# --no-default-features (no SQLite).
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
    x86_64 | aarch64 | armv7 | arm) targets+=("$1") ;;
    *)
        echo "build-static.sh: '$1' is none of --windows, --output, x86_64, aarch64, armv7, arm (see --help)" >&2
        exit 2
        ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || [ -n "$windows" ] || targets=(x86_64 aarch64 armv7 arm)
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

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"
work=${CARGO_TARGET_DIR:-$PWD/target}/static
mkdir -p "$work" "$output"
output=$(cd "$output" && pwd)

# ---- zig, by its Python package -----------------------------------------------------------------------------

install_packages() {
    say "Installing $*"
    [ "$(id -u)" = 0 ] || fail "$* missing: run as root: apt-get install $*"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "$@" >"$work/apt.log" 2>&1 ||
        { apt-get update >>"$work/apt.log" 2>&1 && apt-get install -y --no-install-recommends "$@" >>"$work/apt.log" 2>&1; } ||
        fail "cannot install $* (see $work/apt.log)"
}

zig=0.15.2
zigbuild=0.24.0
venv=$work/venv
if [ "$(cat "$venv/versions" 2>/dev/null)" != "$zig $zigbuild" ]; then
    say "Fetching zig $zig and cargo-zigbuild $zigbuild"
    rm -rf "$venv"
    python3 -m venv "$venv" 2>/dev/null || {
        install_packages python3-venv
        python3 -m venv "$venv"
    }
    "$venv/bin/pip" install --quiet --disable-pip-version-check "ziglang==$zig" "cargo-zigbuild==$zigbuild"
    echo "$zig $zigbuild" >"$venv/versions"
fi
PATH=$venv/bin:$PATH

# ---- the standard library of a target -----------------------------------------------------------------------

has_rustup() { command -v rustup >/dev/null && rustup show active-toolchain >/dev/null 2>&1; }
way_rustup() { has_rustup && rustup target add "$1" >/dev/null 2>&1; }
way_source() { has_rustup && rustup component add rust-src >/dev/null 2>&1; }
way_packages() {
    [ -x /usr/lib/rust-web/bin/cargo ] || dpkg -s rustc-web cargo-web rust-web-src >/dev/null 2>&1 ||
        install_packages rustc-web cargo-web rust-web-src
}

# Finds a way to the standard library; sets $way.
find_way() { # TRIPLE
    for way in ${BUILD_STATIC_WAY:-rustup source packages}; do
        if "way_$way" "$1"; then return; fi
    done
    fail "no standard library for $1 (see --help for the ways)"
}

# ---- building -----------------------------------------------------------------------------------------------

# The same sources give the same bytes, wherever they lie and whenever they are built.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || echo 0)
export SOURCE_DATE_EPOCH
home=${CARGO_HOME:-$HOME/.cargo}

build() { # TARGET
    local target flags sysroot cargo=(cargo) std=()
    target=$(triple "$1")
    find_way "$target"
    say "$1: $target, standard library by: $way"
    case $way in
    packages)
        # Debian's tools lie beside rustup's, which stay untouched.
        cargo=(env CARGO=/usr/bin/cargo RUSTC=/usr/bin/rustc PATH="$venv/bin:/usr/bin:/bin" /usr/bin/cargo)
        sysroot=$(/usr/bin/rustc --print sysroot)
        ;;
    *) sysroot=$(rustc --print sysroot) ;;
    esac
    # zig brings start-up files and C library.
    flags="-Clink-self-contained=no"
    flags+=" --remap-path-prefix=$PWD=. --remap-path-prefix=$home=cargo --remap-path-prefix=$sysroot=rust"
    if [ "$way" != rustup ]; then
        std=('-Zbuild-std=std,panic_unwind')
        export RUSTC_BOOTSTRAP=1
        # A clock that goes on after 2038 on 32-bit processors.
        export RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1
    fi
    # shellcheck disable=SC2086 # several flags
    RUSTFLAGS=$flags CARGO_TARGET_DIR=$work "${cargo[@]}" zigbuild --locked --release --bin dbsync2 \
        --target "$target" "${std[@]}" ${BUILD_STATIC_FLAGS-}
    unset RUSTC_BOOTSTRAP RUST_LIBC_UNSTABLE_MUSL_V1_2_3
    local built=$work/$target/release/dbsync2
    [ "$1" != windows ] || built+=.exe
    install -m 755 "$built" "$output/$(file_name "$1")"
}

for target in "${targets[@]}"; do build "$target"; done

cd "$output"
sha256sum dbsync2-* >SHA256SUMS
say "Built in $output"
ls -l dbsync2-*
