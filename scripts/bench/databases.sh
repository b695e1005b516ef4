# shellcheck shell=bash
# Sourced by bench.sh: the databases: opened, asked, emptied.
# shellcheck disable=SC2154,SC2034 # bench.sh sets these; other parts use those

tables='contacts transactions connections recordings inbound_calls'

decode() { printf '%b' "${1//%/\\x}"; }

open_sqlite() { export DBSYNC_URL="sqlite://$directory/sqlite.db"; }
open_postgres() {
    local port
    port=$("$servers" free-port)
    "$servers" start postgres "$directory" "$port"
    DBSYNC_URL=$("$servers" url postgres "$directory" "$port")
}
open_mariadb() {
    local port account
    port=$("$servers" free-port)
    "$servers" start mariadb "$directory" "$port"
    DBSYNC_URL=$("$servers" url mariadb "$directory" "$port")
    account=${DBSYNC_URL#mysql://}
    account=${account%@*}
    MYSQL_PWD=$(decode "${account#*:}")
    export MYSQL_PWD
    mariadb_client=(mariadb --no-defaults --skip-ssl --local-infile=1 -N -B -h 127.0.0.1 -P "$port" -u "${account%%:*}")
    mariadb_database=${DBSYNC_URL##*/}
}
open_sqlserver() {
    DBSYNC_URL=$BENCH_SQLSERVER
    if [ "$DBSYNC_URL" = tests ]; then
        "$servers" certificates "$directory"
        DBSYNC_TEST_CERTIFICATES=$directory "$release/examples/tds_server" >"$directory/tds_server" &
        tds_server=$!
        until grep -q '^url=' "$directory/tds_server"; do
            kill -0 "$tds_server"
            sleep 0.1
        done
        DBSYNC_URL=$(sed -n 's/^url=//p' "$directory/tds_server")
    fi
}

open_database() { # DATABASE
    export DBSYNC_URL=
    unset DBSYNC_TP
    "open_$1"
}
close_database() { # DATABASE
    case $1 in
    sqlite) empty_sqlite ;;
    sqlserver)
        [ -z "$tds_server" ] || { kill "$tds_server" && wait "$tds_server"; } 2>/dev/null || true
        tds_server=
        ;;
    *) "$servers" stop "$1" "$directory" ;;
    esac
    rm -rf "$directory/state"
}

# Statements as one argument, rows as lines.
sql_sqlite() { sqlite3 -bail "$directory/sqlite.db" "$@"; }
sql_postgres() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$DBSYNC_URL" -c "$@"; }
sql_mariadb() { "${mariadb_client[@]}" "$mariadb_database" -e "$@"; }

empty_sqlite() { rm -f "$directory"/sqlite.db*; }
empty_postgres() { sql_postgres 'SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public'; }
empty_mariadb() {
    "${mariadb_client[@]}" -e "DROP DATABASE $mariadb_database; CREATE DATABASE $mariadb_database CHARACTER SET utf8mb4"
}
# A prefix of its own for each run: there is no client to drop tables with.
sqlserver_runs=0
empty_sqlserver() { export DBSYNC_TP="bench$((++sqlserver_runs))_"; }

# Nothing stored, nothing remembered.
empty_database() { # DATABASE
    "empty_$1"
    rm -rf "$directory/state"
}

# Rows that dbsync2 says it has written, by its status file; `contacts` alone if asked for.
written() { # [TABLE]
    sed -n "/\"written\"/,/}/s/.*\"${1-[a-z_]*}\": \([0-9]*\),\{0,1\}\$/\1/p" "$directory/status" | paste -sd+ | sed 's/^$/0/'
}
