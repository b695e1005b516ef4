# shellcheck shell=bash
# Sourced by bench.sh: the simulator in a process of its own, what it is told, and what it counted.
# shellcheck disable=SC2154,SC2034 # bench.sh sets these; other parts use those

# Starts it again, with the same contacts as before, at the same time and port.
start_simulator() { # CONTACTS FLAGS
    local count=$1 kept=() available
    shift
    stop_simulator
    [ -n "${simulator_port-}" ] || simulator_port=$("$servers" free-port)
    # Answers that are kept take up to 12 kB of memory per contact, and without them the simulator is what is measured.
    available=$(sed -n 's/^MemAvailable:[^0-9]*\([0-9]*\).*/\1/p' /proc/meminfo)
    [ $((count * 12)) -gt "$available" ] || kept=(--keep-answers)
    # So many visits make 12 rows per contact. From the start on each contact is called once an hour, which is about 2 %
    # of the contacts in a minute.
    : >"$directory/simulator"
    # shellcheck disable=SC2086 # several flags
    "$release/examples/simulator" --plain --port "$simulator_port" --contacts "$count" --visits 2.3 --history-days 30 \
        --daily-share 24 "${kept[@]}" "$@" ${BENCH_SIMULATOR-} >"$directory/simulator" &
    simulator=$!
    until grep -q '^token=' "$directory/simulator"; do
        kill -0 "$simulator"
        sleep 0.1
    done
    api=$(sed -n 's/^url=//p' "$directory/simulator")
    campaign=$(sed -n 's/^campaign=//p' "$directory/simulator")
    DBSYNC_CT=$(sed -n 's/^token=//p' "$directory/simulator")
    export DBSYNC_CT
}

stop_simulator() {
    [ -z "$simulator" ] || { kill "$simulator" && wait "$simulator"; } 2>/dev/null || true
    simulator=
}

# Tells it something; prints its status as JSON.
control() { # CALL
    local socket line
    exec {socket}<>"/dev/tcp/127.0.0.1/$simulator_port"
    printf 'GET /control/%s HTTP/1.1\r\nHost: simulator\r\nConnection: close\r\n\r\n' "$1" >&"$socket"
    while read -r line; do :; done <&"$socket"
    exec {socket}>&-
    printf '%s\n' "$line"
}

# Sets what it has counted so far: requests, sent_bytes, answers_made.
count_api() {
    local status
    status=$(control status)
    requests=$(grep -o '"requests_[a-z]*":[0-9]*' <<<"$status" | sed 's/.*://' | paste -sd+)
    requests=$((requests))
    sent_bytes=$(grep -o '"sent_bytes":[0-9]*' <<<"$status" | sed 's/.*://')
    answers_made=$(grep -o '"answers_made":[0-9]*' <<<"$status" | sed 's/.*://')
}

# One result of the bare loop: contacts, bytes, seconds or per_second.
loop() { # RESULT CONNECTIONS [FROM]
    "$release/examples/fetch_loop" "$api" "$campaign" "${@:2}" | sed -n "s/^$1=//p"
}
loops() { # CONNECTIONS [FROM]
    local nth
    for ((nth = 1; nth <= runs; nth++)); do loop per_second "$@"; done | median
}

# As many connections as dbsync2 has by itself, or as BENCH_FLAGS say.
workers() {
    local flag previous=
    for flag in ${BENCH_FLAGS-}; do
        case $flag in
        --w=* | --workers=*) echo "${flag#*=}" && return ;;
        esac
        case $previous in
        --w | --workers | -w) echo "$flag" && return ;;
        esac
        previous=$flag
    done
    echo 8
}
