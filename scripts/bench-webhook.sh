#!/usr/bin/env bash
# Measures deliveries per second to a local receiver that answers at once, beside a plain loop that posts the same
# bodies over the same number of connections.
#
# usage: scripts/bench-webhook.sh [CONTACTS]      4000 contacts; about five transactions each
set -euo pipefail
cd "$(dirname "$0")/.."

contacts=${1:-4000}
lanes=8
[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"
cargo build --locked --release --bin dbsync2 --example simulator --example receiver
release=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-bench.XXXXXX")
simulator=
receiver=
# shellcheck disable=SC2317 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    local pid
    for pid in $simulator $receiver; do
        { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

wait_for() {
    for _ in $(seq 150); do
        grep -q "^$2" "$1" && return
        sleep 0.1
    done
    echo "bench-webhook.sh: $1 did not start" >&2
    exit 1
}
"$release/examples/simulator" --contacts "$contacts" --history-days 30 --no-gzip >"$work/simulator" &
simulator=$!
wait_for "$work/simulator" token=
value() { sed -n "s/^$2=//p" "$work/$1"; }
listen() {
    "$release/examples/receiver" listen --port 0 "$@" >"$work/receiver" &
    receiver=$!
    wait_for "$work/receiver" url=
}
stop_receiver() {
    kill "$receiver"
    wait "$receiver" 2>/dev/null || true
    receiver=
}
DBSYNC_CT=$(value simulator token)
export DBSYNC_CT
# One run from the beginning: prints seconds and the most memory in KB.
run() {
    rm -rf "$work/state"
    /usr/bin/time -f '%e %M' -o "$work/time" "$release/dbsync2" --a webhook --once --c "$(value simulator campaign)" \
        --api-url "$(value simulator url)" --url "$(value receiver url)" --w $lanes --s 2000-01-01 \
        --state-dir "$work/state" --log-dir "$work/log" --status-file "$work/status.json" >/dev/null
    cat "$work/time"
}
delivered() { sed -n 's/.*"delivered": \([0-9]*\).*/\1/p' "$work/status.json"; }

listen --save "$work/bodies"
run >/dev/null
stop_receiver
listen
for number in 1 2 3; do
    read -r seconds memory < <(run)
    count=$(delivered)
    loop=$("$release/examples/receiver" post --url "$(value receiver url)" --connections $lanes --file "$work/bodies" |
        sed -n 's/^per_second=//p')
    awk -v n="$number" -v count="$count" -v s="$seconds" -v loop="$loop" -v memory="$memory" 'BEGIN {
        printf "run %d: %d deliveries in %.1f s, %.0f/s; plain loop %.0f/s; ratio %.0f %%; most memory %.1f MB\n",
            n, count, s, count / s, loop, 100 * count / s / loop, memory / 1024 }'
done
