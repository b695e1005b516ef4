#!/usr/bin/env bash
# Builds static binaries that run on any Linux of their processor, and puts them into dist/ with their checksums.
#
# usage: scripts/build-static.sh [--windows] [--verify] [--output DIR] [TARGET...]
#
# TARGET: x86_64 (PC, server), aarch64 (64-bit ARM), armv7 (32-bit ARM with hardware floating point), arm (ARMv6, the
# first Raspberry Pi); all four if none is given. --windows adds dbsync2-windows-x86_64.exe; TARGET windows is that alone.
# --verify builds each a second time, from a copy of this directory in another place, and compares: they must be equal.
#
# On a bare Debian 12 it installs what is missing (as root, or with sudo), elsewhere it needs cargo (by rustup), a C
# compiler and python3 with venv. zig, the C compiler and linker for all targets, comes from PyPI. Rust's standard
# library comes from the first of these that can be had, and the script says which:
#   source     rustup component add rust-src, compiled here
#   packages   Debian's rustc-web, cargo-web and rust-web-src, compiled here
#   rustup     rustup target add: larger, and on 32-bit ARM it counts time in 32 bits, which end in 2038
#
# BUILD_STATIC_WAY     takes only this way, or these
# BUILD_STATIC_FLAGS   further flags for cargo, such as --no-default-features (no SQLite)
# CARGO_TARGET_DIR     where cargo keeps what it compiles (target): a second run takes it from there
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

fail() {
    echo "build-static.sh: $*" >&2
    exit 1
}
say() { printf '\n== %s\n' "$*"; }

# shellcheck source=scripts/apt.sh
. scripts/apt.sh

output=dist
targets=()
windows=
verify=
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    --windows) windows=1 ;;
    --verify) verify=1 ;;
    --output)
        [ $# -gt 1 ] || fail "--output needs a directory"
        output=$2
        shift
        ;;
    x86_64 | aarch64 | armv7 | arm | windows) targets+=("$1") ;;
    *)
        echo "build-static.sh: '$1' is none of --windows, --verify, --output, x86_64, aarch64, armv7, arm, windows (see --help)" >&2
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

missing_tools() {
    { command -v python3 && python3 -c 'import venv, ensurepip'; } >/dev/null 2>&1 || printf '%s\n' python3 python3-venv
    # For build scripts, which run here.
    command -v cc >/dev/null || printf '%s\n' gcc libc6-dev
    [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || echo ca-certificates
}
install_packages missing_tools

version_of() { sed -n "s/^$1==\([^ ]*\).*/\1/p" scripts/requirements/build.txt; }
zig=$(version_of ziglang)
zigbuild=$(version_of cargo-zigbuild)
venv=$work/venv
if [ "$(cat "$venv/versions" 2>/dev/null)" != "$venv $zig $zigbuild" ]; then
    say "Fetching zig $zig and cargo-zigbuild $zigbuild"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --only-binary :all: --require-hashes \
        -r scripts/requirements/build.txt
    echo "$venv $zig $zigbuild" >"$venv/versions"
fi
export PATH=$venv/bin:$PATH

# ---- the standard library of a target -----------------------------------------------------------------------

has_rustup() { command -v rustup >/dev/null && rustup show active-toolchain >/dev/null 2>&1; }
missing_rust() {
    [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -e /usr/lib/rustlib/src/rust/library/Cargo.lock ] ||
        printf '%s\n' rustc-web cargo-web rust-web-src
}
way_source() { has_rustup && rustup component add rust-src >"$work/rustup.log" 2>&1; }
# --no-remove: rustc-web takes the place of Debian's rustc and rustup, which the admin may want to keep.
way_packages() { install_packages missing_rust --no-remove; }
way_rustup() { has_rustup && rustup target add "$1" >"$work/rustup.log" 2>&1; }

# Finds a way to the standard library; sets $way.
find_way() { # TRIPLE
    for way in ${BUILD_STATIC_WAY:-source packages rustup}; do
        if "way_$way" "$1"; then return; fi
    done
    fail "no standard library for $1 (see --help for the ways)"
}

# ---- building -----------------------------------------------------------------------------------------------

cargo_home=${CARGO_HOME:-$HOME/.cargo}

# What no copy of a campaign needs of SQLite: full-text search, R*Tree, statistics of columns, extensions from files.
sqlite_flags='-USQLITE_ENABLE_FTS3 -USQLITE_ENABLE_FTS3_PARENTHESIS -USQLITE_ENABLE_FTS5 -USQLITE_ENABLE_RTREE
    -USQLITE_ENABLE_STAT4 -USQLITE_ENABLE_DBSTAT_VTAB -USQLITE_SOUNDEX -USQLITE_ENABLE_API_ARMOR
    -USQLITE_ENABLE_LOAD_EXTENSION -DSQLITE_OMIT_LOAD_EXTENSION'
# For C. zig takes -Oz for -Os, but lets it through to the compiler itself. Nothing unwinds through C.
c_flags='-Xclang -Oz -g0 -fomit-frame-pointer'
c_flags_linux='-fno-unwind-tables -fno-asynchronous-unwind-tables'

# What every way has in common. Neither zig nor rustc look at the clock; paths are all that differs.
compile() { # TRIPLE SYSROOT CARGO...
    local flags registry c=$c_flags
    # zig brings start-up files and C library.
    flags="-Clink-self-contained=no --remap-path-prefix=$PWD=. --remap-path-prefix=$work=target"
    # Unpacked, so that there are paths to name. In a message the library's name is enough of its path.
    "${@:3}" fetch --quiet --locked --target "$1"
    for registry in "$cargo_home"/registry/src/*; do flags+=" --remap-path-prefix=$registry/="; done
    flags+=" --remap-path-prefix=$2/lib/rustlib/src/rust/library=rust"
    case $1 in
    # Functions with a frame pointer are told in fewer words how to unwind: 2 % of the file.
    x86_64*linux*) flags+=' -Cforce-frame-pointers=yes' ;;
    esac
    case $1 in *linux*) c+=" $c_flags_linux" ;; esac
    # shellcheck disable=SC2086 # several flags
    RUSTFLAGS=$flags TARGET_CFLAGS=$c LIBSQLITE3_FLAGS=$sqlite_flags CARGO_TARGET_DIR=$work "${@:3}" zigbuild \
        --locked --profile small --bin dbsync2 --target "$1" ${BUILD_STATIC_FLAGS-}
}

build() { # TARGET
    local target
    # The standard library is compiled with the program: for size, without what names functions in a backtrace (there are
    # no names in a stripped program), and with a clock of 64 bits on 32-bit processors.
    local from_source=(env RUSTC_BOOTSTRAP=1 RUST_LIBC_UNSTABLE_MUSL_V1_2_3=1 'CARGO_UNSTABLE_BUILD_STD=std,panic_unwind'
        'CARGO_UNSTABLE_BUILD_STD_FEATURES=panic-unwind,optimize_for_size')
    target=$(triple "$1")
    find_way "$target"
    say "$1: $target, standard library by: $way"
    case $way in
    source) compile "$target" "$(rustc --print sysroot)" "${from_source[@]}" cargo ;;
    packages)
        # Debian's tools lie beside rustup's, which stay untouched.
        compile "$target" "$(/usr/bin/rustc --print sysroot)" "${from_source[@]}" CARGO=/usr/bin/cargo \
            RUSTC=/usr/bin/rustc PATH="$venv/bin:/usr/bin:/bin" /usr/bin/cargo
        ;;
    rustup) compile "$target" "$(rustc --print sysroot)" cargo ;;
    esac
    local built=$work/$target/small/dbsync2
    [ "$1" != windows ] || built+=.exe
    install -m 755 "$built" "$output/$(file_name "$1")"
}

for target in "${targets[@]}"; do build "$target"; done

# The same from another directory, into another one, with nothing of what was compiled here.
build_elsewhere() {
    tar -c --exclude=./target --exclude=./dist --exclude=./.git . | tar -x -C "$elsewhere"
    cd "$elsewhere"
    work=$elsewhere/target output=$elsewhere/dist
    mkdir "$work" "$output"
    for target in "${targets[@]}"; do build "$target"; done
}

if [ -n "$verify" ]; then
    elsewhere=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-elsewhere.XXXXXX")
    trap 'rm -rf "$elsewhere"' EXIT
    (build_elsewhere)
    for target in "${targets[@]}"; do
        file=$(file_name "$target")
        cmp "$output/$file" "$elsewhere/dist/$file" || fail "$file differs when it is built in another directory"
        say "$file: the same, built in another directory"
    done
fi

cd "$output"
sha256sum dbsync2-* >SHA256SUMS
say "Built in $output"
ls -l dbsync2-*
