#!/usr/bin/env bash
# Shows the program at work, without a Dialfire account: builds it, lets it copy an invented campaign into a SQLite
# file, lets some hours of that campaign pass, and copies what has changed.
#
# usage: scripts/demo.sh [DIRECTORY]
#        scripts/demo.sh webhook     posts to a web service instead
#
# DIRECTORY  where the database is left to be looked at; without it, a temporary directory that is removed at the end
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1-} in
webhook) exec scripts/demo-webhook.sh ;;
-*)
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
[ $# -le 1 ] || {
    echo "demo.sh: one directory at most is expected" >&2
    exit 2
}
wanted=${1-}
[ -z "$wanted" ] || { mkdir -p "$wanted" && wanted=$(cd "$wanted" && pwd); }

# ---- what a reader sees ----------------------------------------------------------------------------------------

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() { sed 's/^/   /; s/ *$//'; }
fail() {
    printf 'demo.sh: %s\n' "$*" >&2
    exit 1
}

# ---- cleaning up -----------------------------------------------------------------------------------------------

work=
simulator=
program=
# shellcheck disable=SC2317 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    local pid
    for pid in $program $simulator; do
        { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    done
    [ -z "$work" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# ---- what has to be there --------------------------------------------------------------------------------------

install() {
    if [ "$(id -u)" = 0 ]; then
        DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install "$@" >/dev/null
    else
        sudo apt-get -qq -o DPkg::Lock::Timeout=300 update >/dev/null
        sudo env DEBIAN_FRONTEND=noninteractive apt-get -qq -y -o DPkg::Lock::Timeout=300 install "$@" >/dev/null
    fi
}
# Nobody is asked for a password for what is only nice to have.
can_install() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }; }

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"
command -v cargo >/dev/null || fail "cargo is missing (install Rust: https://rustup.rs)"
if ! command -v cc >/dev/null; then
    command -v apt-get >/dev/null || fail "a C compiler is missing (SQLite and ring are compiled): install gcc"
    step "No C compiler here: installing gcc and libc6-dev"
    install gcc libc6-dev || fail "cannot install a C compiler (as root: apt-get install gcc libc6-dev)"
fi
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

# ---- building --------------------------------------------------------------------------------------------------

# Where the tests were built, nearly all is there already; else a build without optimization is over soonest.
target=${CARGO_TARGET_DIR:-target}/debug profile=dev
[ -x "$target/examples/simulator" ] || target=${CARGO_TARGET_DIR:-target}/demo profile=demo
step "Building the program and the simulator (a minute or two the first time)"
begin=$SECONDS
cargo build --locked --profile $profile --bin dbsync2 --example simulator
echo "   built in $((SECONDS - begin)) s"

# ---- an invented campaign --------------------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-demo.XXXXXX")
database=${wanted:-$work}/dbsync2-demo.db
rm -f "$database" "$database-wal" "$database-shm"

step "Starting a simulator of the Dialfire API with an invented campaign of 500 contacts"
"$target/examples/simulator" --contacts 500 --visits 3 --daily-share 2 --new-per-day 60 --inbound-per-day 40 --plain \
    >"$work/simulator" &
simulator=$!
for _ in $(seq 100); do
    grep -q ^token= "$work/simulator" && break
    kill -0 $simulator 2>/dev/null || fail "the simulator has ended"
    sleep 0.1
done
value() { sed -n "s/^$1=//p" "$work/simulator"; }
url=$(value url)
[ -n "$url" ] || fail "the simulator did not start within 10 s"
(umask 077 && value token >"$work/token")
echo "sqlite://$database" >"$work/url"
echo "   it listens at $url; campaign $(value campaign), token in $work/token"

# Moves the campaign's time by so many seconds.
advance() {
    local address=${url#http://} answer
    exec 9<>"/dev/tcp/${address%:*}/${address#*:}"
    printf 'POST /control/advance?seconds=%s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n' \
        "$1" "$address" >&9
    answer=$(cat <&9)
    exec 9>&-
    case $answer in
    "HTTP/1.1 200"*) ;;
    *) fail "the simulator does not let time pass: $answer" ;;
    esac
}

# The program, with what is the same in each call.
run=("$target/dbsync2" --c "$(value campaign)" --token-file "$work/token" --url-file "$work/url" --api-url "$url"
    --state-dir "$work/state" --log-dir "$work/log" --status-file "$work/status.json")
as_typed() {
    echo "   \$ dbsync2 --c $(value campaign) --token-file token --url-file url … $*"
}
last_line() { grep -h "\\[INFO \\] $1:" "$work"/log/*_"$1"_*.log | tail -n 1 | sed 's/^[^]]*\] //; s/; /;\n  /g' | show; }

# ---- the demo --------------------------------------------------------------------------------------------------

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
rounds() { sed -n 's/^  "rounds": \([0-9]*\),$/\1/p' "$work/status.json" 2>/dev/null; }
mode() { sed -n 's/^  "mode": "\(.*\)",$/\1/p' "$work/status.json" 2>/dev/null; }
# Waits until db_sync has completed so many rounds in all.
wait_rounds() {
    for _ in $(seq 300); do
        [ "$(mode)" = db_sync ] && [ "$(rounds)" -ge "$1" ] && return
        kill -0 "$program" 2>/dev/null || { show <"$work/output" && fail "db_sync has ended by itself"; }
        sleep 0.1
    done
    fail "db_sync has not come to round $1 within 30 s"
}
wait_rounds 1
for _ in $(seq 8); do
    advance 3600
    wait_rounds $(($(rounds) + 2))
    printf .
done
echo " eight hours have passed"
echo "   Some lines of its log:"
grep -h "\\[INFO \\] db_sync:" "$work"/log/*_db_sync_*.log | grep -v ' 0 contacts fetched' | tail -n 4 |
    sed 's/; .*; \([^;]*\)$/ … \1/' | show
echo "   \$ kill $program"
kill "$program"
code=0
wait "$program" || code=$?
program=
echo "   db_sync ended with exit code $code"
[ "$code" = 0 ] || fail "exit code 0 was expected"

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
