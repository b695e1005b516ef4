#!/usr/bin/env bash
# Shows the program posting to a web service, without a Dialfire account: builds it, lets it post what happens in an
# invented campaign to a small receiver, takes the receiver down for half a day of the campaign, and brings it back.
#
# usage: scripts/demo.sh webhook
set -euo pipefail
cd "$(dirname "$0")/.."

bold='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; fi
step() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }
show() { sed 's/^/   /; s/ *$//'; }
fail() {
    printf 'demo.sh: %s\n' "$*" >&2
    exit 1
}

work=
simulator=
receiver=
program=
# shellcheck disable=SC2317 # it is called, by the trap
clean_up() {
    trap '' INT TERM HUP
    local pid
    for pid in $program $receiver $simulator; do
        { kill "$pid" && wait "$pid"; } 2>/dev/null || true
    done
    [ -z "$work" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"
command -v cargo >/dev/null || fail "cargo is missing (install Rust: https://rustup.rs)"
command -v cc >/dev/null || fail "a C compiler is missing (apt-get install gcc libc6-dev)"

step "Building the program, the simulator and the receiver (a few minutes the first time)"
cargo build --locked --bin dbsync2 --example simulator --example receiver
target=${CARGO_TARGET_DIR:-target}/debug
work=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-demo.XXXXXX")

step "Starting a simulator of the Dialfire API with an invented campaign of 200 contacts"
"$target/examples/simulator" --contacts 200 --daily-share 1 --plain --events-by modified >"$work/simulator" &
simulator=$!
# Waits until a file has a line that begins so.
wait_for() {
    for _ in $(seq 150); do
        grep -q "^$2" "$1" && return
        sleep 0.1
    done
    fail "$3 did not start within 15 s"
}
wait_for "$work/simulator" token= "the simulator"
value() { sed -n "s/^$2=//p" "$work/$1"; }
url=$(value simulator url)
(umask 077 && value simulator token >"$work/token")
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

# The receiver, at the same port each time.
start_receiver() {
    : >"$work/receiver"
    "$target/examples/receiver" listen --port "$1" --show >>"$work/receiver" &
    receiver=$!
    wait_for "$work/receiver" url= "the receiver"
}
step "Starting a receiver that prints a line for each request"
start_receiver 0
address=$(value receiver url)
port=${address##*:}
port=${port%/}
echo "   it listens at $address"

# Prints what the receiver got since the last time.
seen=0
arrived() {
    local lines
    lines=$(grep -c '^  received' "$work/receiver" || true)
    grep '^  received' "$work/receiver" | tail -n +$((seen + 1)) | head -n 8 | show
    [ $((lines - seen)) -le "8" ] || echo "   … and $((lines - seen - 8)) more"
    seen=$lines
}

step "Posting what happens from now on"
echo "whsec_$(head -c 24 /dev/urandom | base64)" >"$work/key"
echo "   \$ dbsync2 --a webhook --c $(value simulator campaign) --token-file token --url $address --webhook-secret-file key"
"$target/dbsync2" --a webhook --c "$(value simulator campaign)" --token-file "$work/token" --url "$address" \
    --api-url "$url" --state-dir "$work/state" --log-dir "$work/log" --status-file "$work/status.json" \
    --webhook-secret-file "$work/key" --interval 1s --retry-wait 500ms >/dev/null &
program=$!
for _ in $(seq 100); do
    [ -e "$work/status.json" ] && break
    sleep 0.1
done
[ -e "$work/status.json" ] || fail "the program did not start: $(cat "$work"/log/*)"

step "Two hours pass in the campaign"
advance 7200
sleep 4
arrived

step "The receiver goes down, and half a day passes"
kill "$receiver"
wait "$receiver" 2>/dev/null || true
receiver=
advance 43200
sleep 4
grep -h 'takes nothing' "$work"/log/* | head -n 1 | cut -c 27- | show

step "The receiver comes back: everything arrives, nothing was given up"
start_receiver "$port"
seen=0
for _ in $(seq 60); do
    sleep 1
    grep -qh 'takes requests again' "$work"/log/* && break
done
sleep 4
arrived
grep -h 'takes requests again' "$work"/log/* | cut -c 27- | show
if compgen -G "$work/state/*.undelivered.jsonl" >/dev/null; then
    fail "something was given up"
fi

step "Another day passes: connections and recordings of earlier calls arrive as updates"
advance 86400
sleep 4
grep '^  received  updated' "$work/receiver" | head -n 4 | show

step "Told to stop, it ends"
kill "$program"
wait "$program"
program=
echo "   exit code 0; $(sed -n 's/.*"delivered": \([0-9]*\).*/\1/p' "$work/status.json") transactions were delivered"
