#!/usr/bin/env bash
# Tortures the program: copies and posts campaigns while a seed chooses what goes wrong, and compares in the end.
#
# usage: scripts/torture.sh [minutes] [seed] [flags]      10 minutes and a new seed if not given
#        scripts/torture.sh --rounds 100000 [flags]       no faults: so many rounds of db_sync and of webhook, measured
#
# flags: --targets sqlite,postgres,mariadb,sqlserver,webhook   only some of them; of --rounds: sqlite,webhook if not given
#        --sequences   sequences of modes, each played twice, disturbed and undisturbed, and compared
#        --life N      the campaign to begin with: to come to a finding quickly
#        --quiet       only the figures
#        --release     a release build instead of a development build
#
# Prints the seed, each step, and figures. The exit code is 0 only if nothing was lost, nothing was wrong, and nothing
# hung; otherwise the output says where, and state and logs are kept in $DBSYNC_TORTURE_KEEP (/tmp if not set). The same
# seed gives the same steps. Run as root, disks are small file systems in memory; otherwise see tests/torture/disk.rs.
# Servers and all else live in a directory of its own, and are gone afterwards. tests/torture/mod.rs says what must be true.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

servers=$PWD/scripts/servers.sh
[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"

minutes=10 seed='' numbers=0 build=debug rounds='' targets='' sequences=''
flags=()
while [ $# -gt 0 ]; do
    case $1 in
    -h | --help)
        sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p}' "$0"
        exit
        ;;
    --release) build=release ;;
    --quiet) flags+=("$1") ;;
    --sequences) sequences=1 flags+=("$1") ;;
    --rounds | --targets | --life)
        [ $# -gt 1 ] || {
            echo "torture.sh: $1 needs a value" >&2
            exit 2
        }
        case $1 in --rounds) rounds=$2 ;; --targets) targets=$2 ;; esac
        flags+=("$1" "$2")
        shift
        ;;
    *[!0-9.]* | '')
        echo "torture.sh: '$1' is neither a number nor a flag (see --help)" >&2
        exit 2
        ;;
    *)
        case $numbers in
        0) minutes=$1 ;;
        1) seed=$1 ;;
        *)
            echo "torture.sh: too many numbers (see --help)" >&2
            exit 2
            ;;
        esac
        numbers=$((numbers + 1))
        ;;
    esac
    shift
done
[ -n "$seed" ] || seed=$((RANDOM * 32768 + RANDOM))
[ -z "$rounds" ] || [ -n "$targets" ] || flags+=(--targets 'sqlite,webhook')

command -v cargo >/dev/null || {
    echo "torture.sh: cargo is missing (install Rust: https://rustup.rs)" >&2
    exit 1
}
"$servers" install
if [ "$build" = release ]; then
    cargo build --locked --release --bin dbsync2 --example torture
else
    cargo build --locked --bin dbsync2 --example torture
fi
target=${CARGO_TARGET_DIR:-$PWD/target}/$build

directory=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-torture.XXXXXX")
mkdir "$directory/tmp"
# The servers of a root user run as other users, who have to get through.
chmod 755 "$directory" "$directory/tmp"

torture=
# shellcheck disable=SC2317,SC2329 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    # The whole process group: the programs under torture are in it.
    [ -z "$torture" ] || { kill -KILL -- "-$torture" && wait "$torture"; } 2>/dev/null || true
    local pid_file home mounted
    while read -r pid_file; do
        home=$(dirname "$pid_file")
        "$servers" stop "$(basename "$home")" "$(dirname "$home")" kill || true
    done < <(find "$directory" \( -path '*/postgres/pid' -o -path '*/mariadb/pid' -o -path '*/standby/pid' -o \
        -path '*/pgbouncer/pid' \) 2>/dev/null)
    while read -r mounted; do umount -l "$mounted" || true; done < <(
        awk -v under="$directory/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r
    )
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

"$servers" certificates "$directory"
DBSYNC_TEST_FAKETIME=$("$servers" faketime)
export DBSYNC_TEST_FAKETIME DBSYNC_TEST_CERTIFICATES=$directory DBSYNC_TEST_PROGRAM=$target/dbsync2 DBSYNC_TEST_FAST=1
if [ -n "$sequences" ]; then
    # Each sequence has a database of its own in servers that all of them share.
    port=$("$servers" free-port)
    "$servers" start postgres "$directory" "$port"
    DBSYNC_TEST_POSTGRES=$("$servers" url postgres "$directory" "$port")
    port=$("$servers" free-port)
    "$servers" start mariadb "$directory" "$port"
    DBSYNC_TEST_MYSQL=$("$servers" url mariadb "$directory" "$port")
    export DBSYNC_TEST_POSTGRES DBSYNC_TEST_MYSQL
fi
export DBSYNC_TORTURE_KEEP=${DBSYNC_TORTURE_KEEP:-${TMPDIR:-/tmp}}

# Job control gives it a process group of its own; waiting for it lets signals through at once.
set -m
TMPDIR=$directory/tmp "$target/examples/torture" --minutes "$minutes" --seed "$seed" "${flags[@]}" </dev/null &
torture=$!
set +m
code=0
wait "$torture" || code=$?
torture=
exit "$code"
