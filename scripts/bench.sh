#!/usr/bin/env bash
# Measures db_init from the simulator into SQLite, PostgreSQL and MariaDB, beside the database's own bulk loader, and
# into SQL Server, where one is given; or webhook to a receiver on this machine that answers at once, beside a plain
# loop that posts the same bodies.
#
# usage: scripts/bench.sh [--quick] [CONTACTS]      20000 contacts and 3 runs each; --quick: 5000 and 1
#        scripts/bench.sh webhook [--quick] [CONTACTS]
#
# What the table says:
#   contacts/s, rows/s   of db_init into empty tables: median of the runs
#   own CPU, DB CPU      seconds of user and system time in that run, of dbsync2 and of the server (SQLite has none)
#   memory               the most that dbsync2 held, in MB
#   unchanged            contacts/s of a second db_init that finds nothing changed
#   loader rows/s        the same rows loaded from files into equal empty tables with equal indexes: COPY by psql,
#                        LOAD DATA LOCAL by mariadb, .import by sqlite3; median of the runs
#   ratio                rows/s as a share of the loader's
# The servers wait for the disk at each commit, as real ones do. BENCH_FLAGS holds further flags for dbsync2,
# BENCH_DATABASES the databases if not all, BENCH_SIMULATOR further flags for the simulator.
#
# BENCH_SQLSERVER holds the address of an empty database of a SQL Server, sqlserver://…; the tables bench1_…, bench2_…
# stay there, and neither its CPU time nor a bulk loader is measured. BENCH_SQLSERVER=tests takes the small server that
# the tests use, which has nothing of a real one's speed, be it higher or lower.
set -euo pipefail
cd "$(dirname "$0")/.."

mode=databases
runs=3
contacts=20000
for argument in "$@"; do
    case $argument in
    webhook) mode=webhook ;;
    --quick) runs=1 contacts=5000 ;;
    -h | --help)
        sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
        exit 0
        ;;
    *[!0-9]* | '')
        echo "bench.sh: '$argument' is no number of contacts (see --help)" >&2
        exit 2
        ;;
    *) contacts=$argument ;;
    esac
done

servers=$PWD/scripts/servers.sh
tables='contacts transactions connections recordings inbound_calls'
[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
if [ "$mode" = databases ]; then
    "$servers" install
    command -v sqlite3 >/dev/null || {
        echo "bench.sh: sqlite3 is missing (apt-get install sqlite3)" >&2
        exit 1
    }
fi
if [ "$mode" = databases ]; then
    examples=(--example fetch_loop --example tds_server)
else
    examples=(--example receiver --example lane_loop)
fi
cargo build --locked --release --bin dbsync2 --example simulator "${examples[@]}"
release=${CARGO_TARGET_DIR:-$PWD/target}/release

directory=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-bench.XXXXXX")
# The servers of a root user run as other users, who have to get through.
chmod 755 "$directory"
simulator=
program=
receiver=
tds_server=
# shellcheck disable=SC2317 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    local pid
    for pid in $simulator $program $receiver $tds_server; do
        { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    done
    if [ "$mode" = databases ]; then
        "$servers" stop postgres "$directory" kill || true
        "$servers" stop mariadb "$directory" kill || true
    fi
    rm -rf "$directory"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

now() { date +%s.%N; }
# The line with the middle number in the first column.
median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }
calculate() { awk "BEGIN { printf \"$1\", $2 }"; }

# ---- the simulator, and how fast it is by itself ------------------------------------------------------------

simulator_flags=(--plain --contacts "$contacts")
# Answers of very many contacts are too much for the memory.
[ "$contacts" -gt 50000 ] || simulator_flags+=(--keep-answers)
# What is measured is the delivery, not the decompression of what is delivered.
[ "$mode" = databases ] || simulator_flags+=(--no-gzip)
# shellcheck disable=SC2086 # several flags
"$release/examples/simulator" "${simulator_flags[@]}" ${BENCH_SIMULATOR-} \
    >"$directory/simulator" &
simulator=$!
until grep -q '^token=' "$directory/simulator"; do
    kill -0 "$simulator"
    sleep 0.1
done
api=$(sed -n 's/^url=//p' "$directory/simulator")
campaign=$(sed -n 's/^campaign=//p' "$directory/simulator")
DBSYNC_CT=$(sed -n 's/^token=//p' "$directory/simulator")
export DBSYNC_CT

printf 'Machine: %s, %s cores, %s; %s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)" \
    "$(nproc)" "$(date -u +%F)" "$(uname -sr)"

# ---- one run of dbsync2 -------------------------------------------------------------------------------------

# Runs dbsync2 and sets: seconds, own (CPU seconds), peak (memory in kB).
measure() { # FLAGS
    local begin pid sample
    peak=0
    begin=$(now)
    # shellcheck disable=SC2086 # several flags
    { TIMEFORMAT='%U %S'; time "$release/dbsync2" --c "$campaign" --api-url "$api" --state-dir "$directory/state" \
        --log-dir "$directory/log" --status-file "$directory/status" "$@" ${BENCH_FLAGS-} >"$directory/output" 2>&1; } \
        2>"$directory/cpu" &
    program=$!
    while kill -0 "$program" 2>/dev/null; do
        # The program itself is a child of the shell that measures its time.
        read -r pid <"/proc/$program/task/$program/children" || true
        sample=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${pid:-none}/status") || true
        [ -z "$sample" ] || peak=$sample
        sleep 0.05
    done 2>/dev/null
    wait "$program" || {
        cat "$directory/output" >&2
        echo "bench.sh: $* failed" >&2
        exit 1
    }
    program=
    seconds=$(calculate %.3f "$(now) - $begin")
    own=$(awk '{ print $1 + $2 }' "$directory/cpu")
}

if [ "$mode" = webhook ]; then
    # shellcheck source=scripts/bench/webhook.sh
    . scripts/bench/webhook.sh
    exit
fi

# The first loop fills the simulator's memory, so that later ones cost it next to nothing.
"$release/examples/fetch_loop" "$api" "$campaign" 8 >/dev/null
printf 'The simulator by itself, 8 connections: %s\n' "$("$release/examples/fetch_loop" "$api" "$campaign" 8)"

# ---- the databases ------------------------------------------------------------------------------------------

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

sql_sqlite() { sqlite3 -bail "$directory/sqlite.db" "$@"; }
sql_postgres() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$DBSYNC_URL" "$@"; }
sql_mariadb() { "${mariadb_client[@]}" "$mariadb_database" "$@"; }

empty_sqlite() { rm -f "$directory"/sqlite.db*; }
empty_postgres() { sql_postgres -c 'SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public'; }
# A prefix of its own for each run: there is no client to drop tables with.
empty_sqlserver() { export DBSYNC_TP="bench${nth}_"; }
empty_mariadb() {
    "${mariadb_client[@]}" -e "DROP DATABASE $mariadb_database; CREATE DATABASE $mariadb_database CHARACTER SET utf8mb4"
}

# CPU seconds that the server has used so far, with all its processes.
server_cpu() { # DATABASE
    local pid
    pid=$(cat "$directory/$1/pid" 2>/dev/null) || {
        echo 0
        return
    }
    # The own time and that of children that have ended; of the living ones only their own.
    # shellcheck disable=SC2013 # pids are words
    for pid in "$pid" $(cat "/proc/$pid"/task/*/children); do
        sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true
    done | awk -v ticks="$(getconf CLK_TCK)" \
        '{ sum += $12 + $13; if (NR == 1) sum += $14 + $15 } END { printf "%.2f", sum / ticks }'
}

# One db_init; prints: seconds, own CPU, CPU of the server, peak memory in kB.
run() { # DATABASE
    local before after
    before=$(server_cpu "$1")
    measure --a db_init
    # PostgreSQL takes a moment to count in the process that served us.
    sleep 0.3
    after=$(server_cpu "$1")
    echo "$seconds $own $(calculate %.2f "$after - $before") $peak"
}

# ---- the same rows by the database's own loader -------------------------------------------------------------

dump=$directory/dump
mkdir "$dump"

prepare_sqlite() {
    local table
    for table in $tables; do
        sql_sqlite ".mode ascii" "SELECT * FROM dfire_$table" >"$dump/$table"
    done
    sql_sqlite .schema | sed 's/dfire_/dfire_/g' >"$dump/schema"
}
load_sqlite() {
    local table begin
    rm -f "$directory"/loaded.db*
    sqlite3 "$directory/loaded.db" <"$dump/schema"
    sqlite3 "$directory/loaded.db" 'PRAGMA journal_mode=WAL' >/dev/null
    {
        echo 'PRAGMA synchronous=FULL;'
        echo .mode ascii
        for table in $tables; do echo ".import \"$dump/$table\" dfire_$table"; done
    } >"$dump/load"
    begin=$(now)
    sqlite3 -bail "$directory/loaded.db" <"$dump/load"
    calculate '%.3f\n' "$(now) - $begin"
    rm -f "$directory"/loaded.db*
}

prepare_postgres() {
    local table
    : >"$dump/load"
    for table in $tables; do
        sql_postgres -c "\\copy dfire_$table TO '$dump/$table'"
        echo "\\copy loaded_$table FROM '$dump/$table'" >>"$dump/load"
    done
}
load_postgres() {
    local table begin
    for table in $tables; do
        sql_postgres -c "CREATE TABLE loaded_$table (LIKE dfire_$table INCLUDING ALL)"
    done
    begin=$(now)
    sql_postgres -f "$dump/load"
    calculate '%.3f\n' "$(now) - $begin"
    for table in $tables; do sql_postgres -c "DROP TABLE loaded_$table"; done
}

prepare_mariadb() {
    local table order
    : >"$dump/load"
    for table in $tables; do
        # In the order in which the rows were written: contact by contact, as the API lists them.
        # shellcheck disable=SC2016 # names of columns
        case $table in
        contacts) order='ORDER BY d.`$version`' ;;
        *) order='LEFT JOIN dfire_contacts AS c ON c.`$id` = d.contact_id ORDER BY c.`$version`' ;;
        esac
        sql_mariadb -e "SELECT d.* FROM dfire_$table AS d $order INTO OUTFILE '$directory/mariadb/$table.dump'"
        mv "$directory/mariadb/$table.dump" "$dump/$table"
        echo "LOAD DATA LOCAL INFILE '$dump/$table' INTO TABLE loaded_$table;" >>"$dump/load"
    done
}
load_mariadb() {
    local table begin
    for table in $tables; do sql_mariadb -e "CREATE TABLE loaded_$table LIKE dfire_$table"; done
    begin=$(now)
    sql_mariadb <"$dump/load"
    calculate '%.3f\n' "$(now) - $begin"
    for table in $tables; do sql_mariadb -e "DROP TABLE loaded_$table"; done
}

# ---- the table ----------------------------------------------------------------------------------------------

line() { printf '%-9s %10s %8s %8s %7s %10s %10s %14s %6s\n' "$@"; }
line '' contacts/s rows/s 'own CPU' 'DB CPU' 'memory MB' unchanged 'loader rows/s' ratio
for database in ${BENCH_DATABASES:-sqlite postgres mariadb ${BENCH_SQLSERVER:+sqlserver}}; do
    export DBSYNC_URL=
    unset DBSYNC_TP
    "open_$database"
    : >"$directory/runs"
    for ((nth = 1; nth <= runs; nth++)); do
        "empty_$database"
        rm -rf "$directory/state"
        run "$database" >>"$directory/runs"
        # Before the run that finds everything there already.
        written=$(sed -n '/"written"/,/}/s/.*: \([0-9]*\),\{0,1\}$/\1/p' "$directory/status" | paste -sd+)
    done
    read -r seconds own server memory <<<"$(median <"$directory/runs")"
    read -r unchanged _ <<<"$(run "$database")"
    if [ "$database" = sqlserver ]; then
        line "$database" "$(calculate %.0f "$contacts / $seconds")" "$(calculate %.0f "($written) / $seconds")" "$own" – \
            "$(calculate %.1f "$memory / 1024")" "$(calculate %.0f "$contacts / $unchanged")" – –
        continue
    fi
    rows=0
    for table in $tables; do
        case $database in postgres) flag=-c ;; mariadb) flag=-e ;; *) flag= ;; esac
        # shellcheck disable=SC2086 # no flag at all for sqlite3
        rows=$((rows + $("sql_$database" $flag "SELECT count(*) FROM dfire_$table")))
    done
    "prepare_$database"
    loader=$(for ((nth = 1; nth <= runs; nth++)); do "load_$database"; done | median)
    rm -f "$dump"/*
    case $database in
    sqlite) empty_sqlite ;;
    *) "$servers" stop "$database" "$directory" ;;
    esac
    line "$database" "$(calculate %.0f "$contacts / $seconds")" \
        "$(calculate %.0f "$rows / $seconds")" "$own" "$server" "$(calculate %.1f "$memory / 1024")" \
        "$(calculate %.0f "$contacts / $unchanged")" "$(calculate %.0f "$rows / $loader")" \
        "$(calculate '%.0f %%' "100 * $loader / $seconds")"
done
