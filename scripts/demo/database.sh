# shellcheck shell=bash
# Sourced by demo.sh: copies a campaign into a SQLite file and keeps the copy up to date.
# shellcheck disable=SC2034,SC2154 # demo.sh sets and reads these

if ! command -v sqlite3 >/dev/null && can_install; then
    step "No sqlite3 here: installing it, to look into the database"
    install sqlite3 || echo "   that failed; the demo goes on without it"
fi

# The rows of a query as a table; one that is not possible on this machine shows nothing.
query() {
    if command -v sqlite3 >/dev/null; then
        sqlite3 -header -column "$database" "$1"
    else
        python3 - "$database" "$1" <<'PYTHON'
import sqlite3, sys
rows = sqlite3.connect(sys.argv[1]).execute(sys.argv[2])
if not rows.description:
    sys.exit()
table = [[c[0] for c in rows.description]] + [["" if v is None else str(v) for v in row] for row in rows]
widths = [max(map(len, column)) for column in zip(*table)]
for row in table[:1] + [["-" * w for w in widths]] + table[1:]:
    print("  ".join(v.ljust(w) for v, w in zip(row, widths)).rstrip())
PYTHON
    fi
}
can_query() { command -v sqlite3 >/dev/null || python3 -c 'import sqlite3' 2>/dev/null; }

database=${wanted:-$work}/dbsync2-demo.db
rm -f "$database" "$database-wal" "$database-shm"
start_simulator 500 --visits 3 --daily-share 2 --new-per-day 60 --inbound-per-day 40
echo "sqlite://$database" >"$work/url"
run+=(--url-file "$work/url")
as_typed() {
    echo "   \$ dbsync2 --c $campaign --token-file token --url-file url … $*"
}
last_line() { grep -h "\\[INFO \\] $1:" "$work"/log/*_"$1"_*.log | tail -n 1 | sed 's/^[^]]*\] //; s/; /;\n  /g' | show; }

step "1. Are token, database and directories all right? (changes nothing)"
as_typed --a check
"${run[@]}" --a check | grep -v '^log file' | show

step "2. Copy the whole campaign"
as_typed --a db_init
"${run[@]}" --a db_init >"$work/output" || { show <"$work/output" && fail "db_init failed"; }
last_line db_init

counts="SELECT 'dfire_contacts' AS \"table\", count(*) AS rows FROM dfire_contacts
    UNION ALL SELECT 'dfire_transactions', count(*) FROM dfire_transactions
    UNION ALL SELECT 'dfire_connections', count(*) FROM dfire_connections
    UNION ALL SELECT 'dfire_recordings', count(*) FROM dfire_recordings
    UNION ALL SELECT 'dfire_inbound_calls', count(*) FROM dfire_inbound_calls"
if can_query; then
    echo
    query "$counts" | show
    echo
    echo "   The last calls of agents:"
    query "SELECT t.fired, t.user_loginName AS agent, t.task, t.status, t.status_detail AS result,
            (SELECT count(*) FROM dfire_connections n WHERE n.transaction_id = t.id) AS connections
        FROM dfire_transactions t WHERE t.user IS NOT NULL ORDER BY t.fired DESC LIMIT 5" | show
    query "CREATE TABLE before AS SELECT \"\$id\" AS id, \"\$version\" AS version, \"\$task\" AS task,
        \"\$status_detail\" AS detail FROM dfire_contacts"
    query "$counts" >"$work/before"
else
    echo "   (neither sqlite3 nor Python is here to look into the database: install sqlite3 to see its rows)"
fi

step "3. Keep it up to date: db_sync runs in the background while eight hours of the campaign pass"
as_typed --a db_sync --interval 500ms "&"
"${run[@]}" --a db_sync --interval 500ms >"$work/output" 2>&1 &
program=$!
wait_rounds db_sync 1
for _ in $(seq 8); do
    advance 3600
    wait_rounds db_sync $(($(status rounds) + 2))
    printf .
done
echo " eight hours have passed"
echo "   Some lines of its log:"
grep -h "\\[INFO \\] db_sync:" "$work"/log/*_db_sync_*.log | grep -v ' 0 contacts fetched' | tail -n 4 |
    sed 's/; .*; \([^;]*\)$/ … \1/' | show
stop_program db_sync

if can_query; then
    echo
    echo "   Rows before and after:"
    query "$counts" | awk 'NR == FNR { before[$1] = $2; next }
        FNR == 1 { printf "%-20s %8s %8s\n", "table", "before", "after"; next }
        FNR > 2 { printf "%-20s %8d %8d\n", $1, before[$1], $2 }' "$work/before" - | show
    echo
    query "SELECT count(*) AS \"contacts that have changed\" FROM dfire_contacts c JOIN before b ON b.id = c.\"\$id\"
        WHERE b.version <> c.\"\$version\"" | show
    echo
    echo "   Some of them:"
    query "SELECT c.\"\$id\" AS contact, b.task || ': ' || coalesce(b.detail, '') AS before,
            c.\"\$task\" || ': ' || coalesce(c.\"\$status_detail\", '') AS after
        FROM dfire_contacts c JOIN before b ON b.id = c.\"\$id\"
        WHERE b.version <> c.\"\$version\" AND (b.task <> c.\"\$task\" OR b.detail <> c.\"\$status_detail\")
        ORDER BY c.\"\$id\" LIMIT 5" | show
    query "DROP TABLE before"
fi

step "That was all. What next?"
if [ -n "$wanted" ]; then
    echo "   The database is left for you: sqlite3 $database"
else
    echo "   Keep the database:     scripts/demo.sh /tmp/demo, then: sqlite3 /tmp/demo/dbsync2-demo.db"
fi
echo "   Build it for real use: cargo build --release --locked, which makes target/release/dbsync2"
echo "   Your own campaign:     README.md, \"The first real sync\""
