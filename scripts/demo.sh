#!/usr/bin/env bash
# Shows the program at work, without a Dialfire account: builds it, lets it copy an invented campaign into a SQLite
# file, lets some hours of that campaign pass, and copies what has changed; or posts what happens to a web service.
#
# usage: scripts/demo.sh [DIRECTORY]
#        scripts/demo.sh webhook
#
# DIRECTORY  where the database is left to be looked at; without it, a temporary directory that is removed at the end
# webhook    posts to a small receiver instead, which is down for half a day
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

mode=database
case ${1-} in
webhook)
    mode=webhook
    shift
    [ $# = 0 ] || {
        echo "demo.sh: webhook is expected alone" >&2
        exit 2
    }
    ;;
-*)
    sed -n '2,9s/^# \{0,1\}//p' "$0"
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

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
command -v cargo >/dev/null || fail "cargo is missing (install Rust: https://rustup.rs)"
if ! command -v cc >/dev/null; then
    command -v apt-get >/dev/null || fail "a C compiler is missing (SQLite and ring are compiled): install gcc"
    step "No C compiler here: installing gcc and libc6-dev"
    install gcc libc6-dev || fail "cannot install a C compiler (as root: apt-get install gcc libc6-dev)"
fi

# ---- building --------------------------------------------------------------------------------------------------

# Where the tests were built, nearly all is there already; else a build without optimization is over soonest.
target=${CARGO_TARGET_DIR:-target}/debug profile=dev
[ -x "$target/dbsync2" ] || target=${CARGO_TARGET_DIR:-target}/demo profile=demo
step "Building the program, the simulator and the receiver (a minute or two the first time)"
begin=$SECONDS
cargo build --locked --profile $profile --bin dbsync2 --example simulator --example receiver
echo "   built in $((SECONDS - begin)) s"

# ---- an invented campaign --------------------------------------------------------------------------------------

work=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-demo.XXXXXX")

# A line `NAME=…` that a program has printed.
value() { sed -n "s/^$2=//p" "$work/$1"; }
# Waits until a program has printed such a line.
wait_for() { # PROGRAM PID NAME
    for _ in $(seq 100); do
        grep -q "^$3=" "$work/$1" && return
        kill -0 "$2" 2>/dev/null || fail "the $1 has ended"
        sleep 0.1
    done
    fail "the $1 did not start within 10 s"
}

start_simulator() { # CONTACTS FLAGS
    step "Starting a simulator of the Dialfire API with an invented campaign of $1 contacts"
    "$target/examples/simulator" --contacts "$@" --plain >"$work/simulator" &
    simulator=$!
    wait_for simulator $simulator token
    url=$(value simulator url)
    campaign=$(value simulator campaign)
    (umask 077 && value simulator token >"$work/token")
    echo "   it listens at $url; campaign $campaign, token in $work/token"
    # The program, with what is the same in each call.
    # shellcheck disable=SC2034 # in scripts/demo
    run=("$target/dbsync2" --c "$campaign" --token-file "$work/token" --api-url "$url" --state-dir "$work/state"
        --log-dir "$work/log" --status-file "$work/status.json")
}

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

# What the status file says under a name.
status() { sed -n "s/^ *\"$1\": \"\{0,1\}\([^\",]*\)\"\{0,1\},\{0,1\}$/\1/p" "$work/status.json" 2>/dev/null; }
# Waits until the program, which runs in a mode, has completed so many rounds in all.
wait_rounds() { # MODE ROUNDS
    for _ in $(seq 300); do
        [ "$(status mode)" = "$1" ] && [ "$(status rounds)" -ge "$2" ] && return
        kill -0 "$program" 2>/dev/null || { show <"$work/output" && fail "$1 has ended by itself"; }
        sleep 0.1
    done
    fail "$1 has not come to round $2 within 30 s"
}
# Tells the program to stop.
stop_program() { # MODE
    local code=0
    echo "   \$ kill $program"
    kill "$program"
    wait "$program" || code=$?
    program=
    echo "   $1 ended with exit code $code"
    [ "$code" = 0 ] || fail "exit code 0 was expected"
}

# shellcheck source=scripts/demo/database.sh
# shellcheck source=scripts/demo/webhook.sh
. "scripts/demo/$mode.sh"
