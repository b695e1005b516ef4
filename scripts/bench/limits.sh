# shellcheck shell=bash
# Sourced by bench.sh: the rows that dbsync2 wrote, loaded by the database's own bulk loader from files.
#
# The tables have the same columns, keys and indexes in the end. Whether it is quicker to have the indexes first or to
# make them at last depends on database, size and machine, so each way is measured that the manual knows:
#   before            into tables that have their keys and indexes
#   before, unchecked MariaDB: the same with unique_checks and foreign_key_checks off in one transaction, by which it
#                     loads an empty table in bulk
#   after             into tables without, then keys and indexes are made (MariaDB: the primary key, which is the table
#                     itself, is there); part of the time. PostgreSQL may take 256 MB and two helpers for that.
# shellcheck disable=SC2154,SC2034 # bench.sh and databases.sh set these; cases.sh uses those

dump=$directory/dump
mkdir "$dump"

ways_sqlite=(before after)
ways_postgres=(before after)
ways_mariadb=(before 'before, unchecked' after)

# ---- SQLite: .import by sqlite3, all in one transaction, with room for 64 MB of pages ------------------------

prepare_sqlite() {
    local table
    for table in $tables; do
        sql_sqlite ".mode ascii" "SELECT * FROM dfire_$table" >"$dump/$table"
    done
    sql_sqlite "SELECT sql || ';' FROM sqlite_schema WHERE type = 'table' AND name LIKE 'dfire%'" >"$dump/tables"
    sql_sqlite "SELECT sql || ';' FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL" >"$dump/indexes"
}
load_sqlite() { # WAY
    local table begin
    rm -f "$directory"/loaded.db*
    sqlite3 -bail "$directory/loaded.db" 'PRAGMA journal_mode=WAL' >/dev/null
    sqlite3 -bail "$directory/loaded.db" <"$dump/tables"
    [ "$1" = after ] || sqlite3 -bail "$directory/loaded.db" <"$dump/indexes"
    {
        printf '%s\n' 'PRAGMA synchronous=FULL;' 'PRAGMA cache_size=-65536;' 'BEGIN;' '.mode ascii'
        for table in $tables; do echo ".import \"$dump/$table\" dfire_$table"; done
        [ "$1" != after ] || cat "$dump/indexes"
        echo 'COMMIT;'
    } >"$dump/load"
    begin=$(now)
    sqlite3 -bail "$directory/loaded.db" <"$dump/load" >/dev/null
    calculate '%.3f\n' "$(now) - $begin"
}
loaded_sqlite() { # TABLE
    sqlite3 "$directory/loaded.db" "SELECT count(*) FROM dfire_$1"
}
indexes_sqlite() {
    sql_sqlite "SELECT count(*) FROM sqlite_schema WHERE type = 'index'"
    sqlite3 "$directory/loaded.db" "SELECT count(*) FROM sqlite_schema WHERE type = 'index'"
}
unload_sqlite() { rm -f "$directory"/loaded.db*; }

# ---- PostgreSQL: COPY by psql -------------------------------------------------------------------------------

prepare_postgres() {
    local table
    : >"$dump/load"
    {
        echo 'SET maintenance_work_mem = 262144;'
        for table in $tables; do
            sql_postgres "SELECT format('ALTER TABLE loaded_$table ADD %s;', pg_get_constraintdef(oid))
                FROM pg_constraint WHERE conrelid = 'dfire_$table'::regclass AND contype IN ('p', 'u')"
            sql_postgres "SELECT regexp_replace(pg_get_indexdef(indexrelid), '^(CREATE.* INDEX) .* ON \\S+ USING',
                    '\\1 ON loaded_$table USING') || ';'
                FROM pg_index WHERE indrelid = 'dfire_$table'::regclass
                    AND indexrelid NOT IN (SELECT conindid FROM pg_constraint)"
        done
    } >"$dump/indexes"
    for table in $tables; do
        sql_postgres "\\copy dfire_$table TO '$dump/$table'"
        echo "\\copy loaded_$table FROM '$dump/$table'" >>"$dump/load"
    done
}
load_postgres() { # WAY
    local table begin end=/dev/null
    unload_postgres
    for table in $tables; do
        sql_postgres "CREATE TABLE loaded_$table (LIKE dfire_$table INCLUDING DEFAULTS)"
    done
    if [ "$1" = after ]; then
        end=$dump/indexes
    else
        psql -X -q -v ON_ERROR_STOP=1 -f "$dump/indexes" "$DBSYNC_URL"
    fi
    begin=$(now)
    psql -X -q -v ON_ERROR_STOP=1 -f "$dump/load" -f "$end" "$DBSYNC_URL"
    calculate '%.3f\n' "$(now) - $begin"
}
loaded_postgres() { # TABLE
    sql_postgres "SELECT count(*) FROM loaded_$1"
}
indexes_postgres() {
    local prefix
    for prefix in dfire_ loaded_; do
        sql_postgres "SELECT count(*) FROM pg_indexes WHERE starts_with(tablename, '$prefix')"
    done
}
unload_postgres() {
    local table
    for table in $tables; do
        sql_postgres "SET client_min_messages = error; DROP TABLE IF EXISTS loaded_$table"
    done
}

# ---- MariaDB: LOAD DATA LOCAL by mariadb --------------------------------------------------------------------

prepare_mariadb() {
    local table order
    : >"$dump/load"
    : >"$dump/bare"
    for table in $tables; do
        # In the order in which the rows were written: contact by contact, as the API lists them.
        # shellcheck disable=SC2016 # names of columns
        case $table in
        contacts) order='ORDER BY d.`$version`' ;;
        *) order='LEFT JOIN dfire_contacts AS c ON c.`$id` = d.contact_id ORDER BY c.`$version`' ;;
        esac
        sql_mariadb "SELECT d.* FROM dfire_$table AS d $order INTO OUTFILE '$directory/mariadb/$table.dump'"
        mv "$directory/mariadb/$table.dump" "$dump/$table"
        echo "LOAD DATA LOCAL INFILE '$dump/$table' INTO TABLE loaded_$table CHARACTER SET utf8mb4;" >>"$dump/load"
    done
    local index="FROM (SELECT table_name, index_name, max(non_unique) AS many, group_concat('\`', column_name, '\`',
                if(sub_part IS NULL, '', concat('(', sub_part, ')')) ORDER BY seq_in_index) AS columns
            FROM information_schema.statistics WHERE table_schema = database() AND table_name LIKE 'dfire%'
                AND index_name <> 'PRIMARY' GROUP BY table_name, index_name) AS i GROUP BY table_name"
    sql_mariadb "SELECT concat('ALTER TABLE ', replace(table_name, 'dfire_', 'loaded_'), ' ',
        group_concat('DROP INDEX \`', index_name, '\`'), ';') $index" >"$dump/bare"
    sql_mariadb "SELECT concat('ALTER TABLE ', replace(table_name, 'dfire_', 'loaded_'), ' ',
        group_concat('ADD ', if(many, '', 'UNIQUE '), 'INDEX \`', index_name, '\` (', columns, ')'), ';') $index" \
        >"$dump/indexes"
}
load_mariadb() { # WAY
    local table begin
    unload_mariadb
    for table in $tables; do sql_mariadb "CREATE TABLE loaded_$table LIKE dfire_$table"; done
    {
        [ "$1" != 'before, unchecked' ] || echo 'SET unique_checks = 0, foreign_key_checks = 0; START TRANSACTION;'
        cat "$dump/load"
        [ "$1" != 'before, unchecked' ] || echo 'COMMIT;'
        [ "$1" != after ] || cat "$dump/indexes"
    } >"$dump/statements"
    [ "$1" != after ] || "${mariadb_client[@]}" "$mariadb_database" <"$dump/bare"
    begin=$(now)
    "${mariadb_client[@]}" "$mariadb_database" <"$dump/statements"
    calculate '%.3f\n' "$(now) - $begin"
}
loaded_mariadb() { # TABLE
    sql_mariadb "SELECT count(*) FROM loaded_$1"
}
indexes_mariadb() {
    local prefix
    for prefix in dfire loaded; do
        sql_mariadb "SELECT count(DISTINCT table_name, index_name) FROM information_schema.statistics
            WHERE table_schema = database() AND table_name LIKE '$prefix%'"
    done
}
unload_mariadb() {
    local table
    for table in $tables; do sql_mariadb "DROP TABLE IF EXISTS loaded_$table"; done
}

# ---- all of them --------------------------------------------------------------------------------------------

# Loads in each way; sets rows, loader (rows/s of the fastest way) and ways_report.
measure_loader() { # DATABASE
    local -n ways=ways_$1
    local way table time best='' nth
    "prepare_$1"
    rows=0
    ways_report=
    for way in "${ways[@]}"; do
        time=$(for ((nth = 1; nth <= runs; nth++)); do "load_$1" "$way"; done | median)
        rows=0
        for table in $tables; do rows=$((rows + $("loaded_$1" "$table"))); done
        same_as_written "$1" "$way"
        ways_report+="${ways_report:+; }$way $(calculate %.0f "$rows / $time")"
        [ -n "$best" ] && [ "$(calculate %d "$best <= $time")" = 1 ] || best=$time
    done
    loader=$(calculate %.0f "$rows / $best")
    "unload_$1"
    rm -f "$dump"/*
}

# A limit with fewer rows or indexes would be none.
same_as_written() { # DATABASE WAY
    local table expected=0 counts
    for table in $tables; do
        expected=$((expected + $("sql_$1" "SELECT count(*) FROM dfire_$table")))
    done
    mapfile -t counts < <("indexes_$1")
    [ "$rows ${counts[0]}" = "$expected ${counts[1]}" ] || {
        echo "bench.sh: $1, $2: loaded $rows rows with ${counts[1]} indexes, not $expected with ${counts[0]}" >&2
        exit 1
    }
}
