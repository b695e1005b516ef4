#!/usr/bin/env bash
# Runs all tests, against throwaway PostgreSQL and MariaDB servers that end with it.
#
# usage: scripts/test.sh [arguments for cargo test, such as: --test behaviour -- outage]
#
# What the tests find in their environment:
#   DBSYNC_TEST_POSTGRES, DBSYNC_TEST_MYSQL   address of a running server, with user, password and a database
#   DBSYNC_TEST_CERTIFICATES                  directory with ca.pem and the others that servers.sh makes
#   DBSYNC_TEST_OPENRC                        directory into which OpenRC is unpacked
#   DBSYNC_TEST_PYTHON                        a Python that has the packages standardwebhooks and python-tds
#   DBSYNC_TEST_FAKETIME                      libfaketime.so.1, for programs whose clock is wrong
#   DBSYNC_TEST_SQLSERVER                     only if it is set before: a real SQL Server, in place of the tests' own
set -euo pipefail
cd "$(dirname "$0")/.."

servers=$PWD/scripts/servers.sh
say() { printf '\n== %s\n' "$*"; }

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
command -v cargo >/dev/null || {
    echo "test.sh: cargo is missing (install Rust: https://rustup.rs, or: curl -sSf https://sh.rustup.rs | sh)" >&2
    exit 1
}
"$servers" install
scripts/tools.sh install

directory=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-test.XXXXXX")
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
    done < <(find "$directory" \( -path '*/postgres/pid' -o -path '*/mariadb/pid' \) 2>/dev/null)
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
"$directory/python/bin/pip" --quiet --disable-pip-version-check install \
    standardwebhooks~=1.0 python-tds==1.17.1 sqlfluff==4.5.0
export DBSYNC_TEST_PYTHON=$directory/python/bin/python

say "cargo test --locked $*"
# Job control gives the tests a process group of their own; waiting for it lets signals through at once.
set -m
TMPDIR=$directory/tmp cargo test --locked "$@" </dev/null &
tests=$!
set +m
code=0
wait "$tests" || code=$?
tests=
# Once in a run of everything.
if [ "$code" = 0 ] && [ $# = 0 ]; then
    say 'scripts/check-sql.sh'
    SQLFLUFF=$directory/python/bin/sqlfluff scripts/check-sql.sh || code=$?
fi
say "$([ "$code" = 0 ] && echo 'All tests passed' || echo "Tests failed, exit code $code")"
exit "$code"
