#!/usr/bin/env bash
# Runs all tests, against throwaway PostgreSQL and MariaDB servers that end with it.
#
# usage: scripts/test.sh [--nightly] [arguments for cargo test, such as: --test behaviour -- outage]
#
# --nightly    more of the same in the tests that kill, interrupt and generate (tests/support/size.rs), and if no arguments
#              are given an hour of scripts/torture.sh and one of its sequences
#
# The servers keep their data in memory where there is room, and don't wait for the disk: what a server has committed
# survives that it is killed, which the tests do, all the same. DBSYNC_TEST_FAST=0 lets them wait, with data on disk.
# RUST_TEST_THREADS says how many tests run at a time; most wait for a process or a server.
#
# What the tests find in their environment:
#   DBSYNC_TEST_POSTGRES, DBSYNC_TEST_MYSQL   address of a running server, with user, password and a database
#   DBSYNC_TEST_CERTIFICATES                  directory with ca.pem and the others that servers.sh makes
#   DBSYNC_TEST_OPENRC                        directory into which OpenRC is unpacked
#   DBSYNC_TEST_PYTHON                        a Python that has the packages standardwebhooks and python-tds
#   DBSYNC_TEST_FAKETIME                      libfaketime.so.1, for programs whose clock is wrong
#   DBSYNC_TEST_SQLSERVER                     only if it is set before: a real SQL Server, in place of the tests' own
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

nightly=
if [ "${1-}" = --nightly ]; then
    nightly=1
    shift
    export DBSYNC_TEST_SIZE=${DBSYNC_TEST_SIZE-full} DBSYNC_TEST_CASES=${DBSYNC_TEST_CASES-2000}
fi
export DBSYNC_TEST_FAST=${DBSYNC_TEST_FAST-1}
export RUST_TEST_THREADS=${RUST_TEST_THREADS-$(($(nproc) + 1))}
# What is made is to be readable by the servers' users, whatever this was started with.
umask 022

servers=$PWD/scripts/servers.sh
say() { printf '\n== %s\n' "$*"; }

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
command -v cargo >/dev/null || {
    echo "test.sh: cargo is missing (install Rust: https://rustup.rs, or: curl -sSf https://sh.rustup.rs | sh)" >&2
    exit 1
}
"$servers" install
scripts/tools.sh install

# A directory in memory that has 8 GiB to spare, as the machine has, and lets programs run; else a usual one.
place() {
    local memory=/dev/shm try
    if [ "$DBSYNC_TEST_FAST" = 1 ] && [ -z "${TMPDIR-}" ] && [ -w "$memory" ] &&
        [ "$(df --output=avail "$memory" | tail -n 1)" -gt 8388608 ] &&
        [ "$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)" -gt 12582912 ] &&
        try=$(mktemp "$memory/dbsync2-try.XXXXXX"); then
        printf '#!/bin/sh\n' >"$try"
        chmod 755 "$try"
        if "$try" 2>/dev/null; then
            rm "$try"
            echo "$memory"
            return
        fi
        rm "$try"
    fi
    echo "${TMPDIR:-/tmp}"
}

directory=$(mktemp -d "$(place)/dbsync2-test.XXXXXX")
mkdir "$directory/tmp"
# The servers of a root user run as other users, who have to get through.
chmod 755 "$directory" "$directory/tmp"

tests=
# shellcheck disable=SC2317,SC2329 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    # The whole process group: cargo alone would leave its test programs behind.
    [ -z "$tests" ] || { kill -TERM -- "-$tests" && wait "$tests"; } 2>/dev/null || true
    # Including those that a test started and could not stop.
    local pid_file home
    while read -r pid_file; do
        home=$(dirname "$pid_file")
        "$servers" stop "$(basename "$home")" "$(dirname "$home")" kill || true
    done < <(find "$directory" \( -path '*/postgres/pid' -o -path '*/mariadb/pid' -o -path '*/standby/pid' -o \
        -path '*/pgbouncer/pid' \) 2>/dev/null)
    # Disks of tests that were killed.
    local mounted
    while read -r mounted; do umount -l "$mounted" || true; done < <(
        awk -v under="$directory/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r
    )
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "Starting PostgreSQL and MariaDB in $directory"
"$servers" certificates "$directory"
port=$("$servers" free-port)
"$servers" start postgres "$directory" "$port"
DBSYNC_TEST_POSTGRES=$("$servers" url postgres "$directory" "$port")
port=$("$servers" free-port)
"$servers" start mariadb "$directory" "$port"
DBSYNC_TEST_MYSQL=$("$servers" url mariadb "$directory" "$port")
DBSYNC_TEST_FAKETIME=$("$servers" faketime)
export DBSYNC_TEST_POSTGRES DBSYNC_TEST_MYSQL DBSYNC_TEST_CERTIFICATES=$directory DBSYNC_TEST_FAKETIME

scripts/tools.sh openrc "$directory/openrc"
export DBSYNC_TEST_OPENRC=$directory/openrc

# The reference library that has to accept our signatures, a client of SQL Server that is not ours, and a reader of our
# statements for it.
python3 -m venv "$directory/python" >/dev/null
"$directory/python/bin/pip" --quiet --disable-pip-version-check install --only-binary :all: \
    --require-hashes -r scripts/requirements/tests.txt
export DBSYNC_TEST_PYTHON=$directory/python/bin/python

# Everything but the examples, which have no tests and compile what the tests stand on once more each.
all=
if [ $# = 0 ]; then
    all=1
    set -- --lib --bins --tests
fi
say "cargo test --locked $* ($RUST_TEST_THREADS at a time)"
# Job control gives the tests a process group of their own; waiting for it lets signals through at once.
set -m
TMPDIR=$directory/tmp cargo test --locked "$@" </dev/null &
tests=$!
set +m
code=0
wait "$tests" || code=$?
tests=
# Once in a run of everything.
if [ "$code" = 0 ] && [ -n "$all" ]; then
    say 'scripts/check-sql.sh'
    SQLFLUFF=$directory/python/bin/sqlfluff scripts/check-sql.sh || code=$?
fi
if [ "$code" = 0 ] && [ -n "$all" ] && [ -n "$nightly" ]; then
    say 'scripts/torture.sh 60'
    scripts/torture.sh 60 || code=$?
    say 'scripts/torture.sh --sequences 60'
    scripts/torture.sh --sequences 60 || code=$?
fi
say "$([ "$code" = 0 ] && echo 'All tests passed' || echo "Tests failed, exit code $code")"
exit "$code"
