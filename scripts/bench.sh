#!/usr/bin/env bash
# Measures dbsync2 with SQLite, PostgreSQL, MariaDB, a SQL Server where one is given, and a web service, each beside the
# limit: what the database's own bulk loader, or a bare loop of requests, does with the same rows on this machine.
#
# usage: scripts/bench.sh [--quick] [CONTACTS]           50000 contacts, 3 runs each; --quick: 10000 and 1
#        scripts/bench.sh webhook [--quick] [CONTACTS]   the web service alone (20000 contacts; --quick: 5000)
#        scripts/bench.sh scaling [CONTACTS ...]         time and memory by size (10000 100000 1000000)
#        scripts/bench.sh against PROGRAM [--quick] [CONTACTS]   (a) and (c) by turns with another build of dbsync2
#        scripts/bench.sh --profile [DATABASE] [CONTACTS]   where the CPU time of (a) goes (sqlite; 50000)
#
# The cases:
#   (a) db_init            into empty tables, from a simulator that answers at once
#   (b) db_init, 50 ms     the same, but each answer comes 50 ms after its request
#   (c) nothing changed    db_init once more
#   (d) 2 % changed        a running db_sync when one minute has changed about 2 % of the contacts, from then until it
#                          has written them; the events, too, are read again
#   (e) idle round         a running db_sync that finds nothing new: one round, mean of several hundred
# The columns:
#   contacts/s, rows/s     contacts and rows in the time of the case
#   own CPU, DB CPU        seconds of user and system time, of dbsync2 and of the server (SQLite has none)
#   memory MB              the most that dbsync2 held
#   API MB, requests       what came from the simulator, heads included, as compressed as it came
#   limit                  (a) rows/s of the database's bulk loader: the same rows, from files, in the order in which they
#                          were written, into tables that have the same keys and indexes in the end; the fastest of the
#                          ways that stand below the table
#                          (b) contacts/s of a loop that lists the same contacts on one connection and reads them
#                          meanwhile on as many as --w, with the same delay, and throws them away
#                          (c) contacts/s of a loop that only lists them
#                          (d) contacts/s of the loop of (b) without delay, over the events and contacts of that minute
#   ratio                  what dbsync2 did as a share of the limit
# All are medians of the runs by the time they took. The servers wait for the disk at each commit, as real ones do. They
# have the memory that a server for such tables is given, where this machine can spare it: 1 GB for pages, and a log of
# 1 GB (MariaDB) or 4 GB (PostgreSQL); BENCH_SERVERS=small leaves them as they are installed, which is 128 MB.
#
# Variables: BENCH_DATABASES (sqlite postgres mariadb sqlserver webhook), BENCH_CASES (a b c d e), BENCH_FLAGS (further
# flags for dbsync2), BENCH_SIMULATOR (further flags for the simulator), BENCH_CONNECTIONS (--w of webhook: 1 2 4 8),
# BENCH_PROGRAM (another build of dbsync2, for --profile one with line numbers).
# BENCH_SQLSERVER holds the address of an empty database of a SQL Server, sqlserver://…; the tables bench1_…, bench2_…
# stay there, and neither its CPU time nor a bulk loader is measured. BENCH_SQLSERVER=tests takes the small server that
# the tests use, which has nothing of a real one's speed, be it higher or lower.
set -euo pipefail
umask 022
shopt -s inherit_errexit
cd "$(dirname "$0")/.."

mode=all
quick=
other=
numbers=()
profiled=sqlite
if [ "${1-}" = against ]; then
    mode=against
    other=$(realpath -e "${2-}") || {
        echo 'bench.sh: against needs another build of dbsync2' >&2
        exit 2
    }
    shift 2
fi
for argument in "$@"; do
    case $argument in
    webhook | scaling) mode=$argument ;;
    --profile) mode=profile ;;
    --quick) quick=1 ;;
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    sqlite | postgres | mariadb) profiled=$argument ;;
    *[!0-9]* | '' | 0*)
        echo "bench.sh: '$argument' is no number of contacts (see --help)" >&2
        exit 2
        ;;
    *) numbers+=("$argument") ;;
    esac
done
# shellcheck disable=SC2034 # the parts below read it
runs=3
# shellcheck disable=SC2034
[ -z "$quick" ] || runs=1
case $mode$quick in
all | against | profile*) contacts=${numbers[0]:-50000} ;;
all1 | against1) contacts=${numbers[0]:-10000} ;;
webhook) contacts=${numbers[0]:-20000} ;;
*) contacts=${numbers[0]:-5000} ;;
esac
[ "$mode" != scaling ] || [ "${#numbers[@]}" -gt 0 ] || numbers=(10000 100000 1000000)

if [ "$mode" = webhook ]; then
    databases=webhook
elif [ "$mode" = profile ]; then
    databases=$profiled
elif [ "$mode" = scaling ] || [ "$mode" = against ]; then
    databases=${BENCH_DATABASES:-sqlite postgres mariadb}
else
    databases=${BENCH_DATABASES:-sqlite postgres mariadb ${BENCH_SQLSERVER:+sqlserver} webhook}
fi
[ "$databases" != webhook ] || mode=webhook
wants() { [[ " $databases " == *" $1 "* ]]; }
has_case() { [[ " ${BENCH_CASES:-a b c d e} " == *" $1 "* ]]; }

servers=$PWD/scripts/servers.sh
if [ "${BENCH_SERVERS-}" != small ]; then
    if [ "$(sed -n 's/^MemAvailable:[^0-9]*\([0-9]*\).*/\1/p' /proc/meminfo)" -gt 6000000 ]; then
        export DBSYNC_SERVERS_LARGE=1
    else
        echo 'bench.sh: too little memory is free for large servers: they are as installed' >&2
    fi
fi
[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
if wants sqlite || wants postgres || wants mariadb || wants sqlserver; then
    "$servers" install
fi
needed() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null || {
        echo "bench.sh: $1 is missing (apt-get install $2)" >&2
        exit 1
    }
}
! wants sqlite || needed sqlite3 sqlite3

# ---- programs: the one that is measured as it is released, those around it built quickly --------------------

target=${CARGO_TARGET_DIR:-$PWD/target}
program_file=${BENCH_PROGRAM:-$target/release/dbsync2}
if [ -n "${BENCH_PROGRAM-}" ]; then
    program_file=$(realpath "$BENCH_PROGRAM")
elif [ "$mode" = profile ]; then
    program_file=$target/profile/release/dbsync2
    CARGO_TARGET_DIR=$target/profile CARGO_PROFILE_RELEASE_DEBUG=1 CARGO_PROFILE_RELEASE_STRIP=none \
        cargo build --locked --release --bin dbsync2
else
    cargo build --locked --release --bin dbsync2
fi
if [ "$mode" = profile ]; then
    needed perf linux-perf
    needed addr2line binutils
fi
tools=(--example simulator --example fetch_loop)
! wants webhook || tools+=(--example receiver --example lane_loop)
[ "${BENCH_SQLSERVER-}" != tests ] || tools+=(--example tds_server)
cargo build --locked --profile bench-tools "${tools[@]}"

directory=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-bench.XXXXXX")
# The servers of a root user run as other users, who have to get through.
chmod 755 "$directory"
# All programs in one place, for all parts of this script.
release=$directory/programs
mkdir "$release"
ln -s "$program_file" "$release/dbsync2"
ln -s "$target/bench-tools/examples" "$release/examples"

simulator=
program=
receiver=
tds_server=
# shellcheck disable=SC2317,SC2329 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    local pid
    for pid in $program $simulator $receiver $tds_server; do
        # One that was halted does not hear of its end.
        { kill "$pid" && kill -CONT "$pid" && wait "$pid"; } 2>/dev/null || true
    done
    "$servers" stop postgres "$directory" kill || true
    "$servers" stop mariadb "$directory" kill || true
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# shellcheck source=scripts/bench/measure.sh
. scripts/bench/measure.sh
# shellcheck source=scripts/bench/simulator.sh
. scripts/bench/simulator.sh
# shellcheck source=scripts/bench/databases.sh
. scripts/bench/databases.sh

printf 'Machine: %s, %s cores, %s; %s\n' \
    "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" "$(nproc)" "$(date -u +%F)" "$(uname -sr)"

case $mode in
all)
    # shellcheck source=scripts/bench/limits.sh
    . scripts/bench/limits.sh
    # shellcheck source=scripts/bench/cases.sh
    . scripts/bench/cases.sh
    ;;
scaling)
    # shellcheck source=scripts/bench/scaling.sh
    . scripts/bench/scaling.sh
    ;;
against)
    # shellcheck source=scripts/bench/against.sh
    . scripts/bench/against.sh
    ;;
profile)
    # shellcheck source=scripts/bench/profile.sh
    . scripts/bench/profile.sh
    ;;
esac
if wants webhook; then
    [ "$mode" = webhook ] || [ "$contacts" -le 20000 ] || contacts=20000
    # What is measured is the delivery, not the decompression of what is delivered.
    start_simulator "$contacts" --no-gzip
    printf '\nwebhook, %s contacts\n' "$contacts"
    # shellcheck source=scripts/bench/webhook.sh
    . scripts/bench/webhook.sh
fi
