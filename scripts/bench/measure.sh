# shellcheck shell=bash
# Sourced by bench.sh: time, CPU time and memory of a run of dbsync2, and CPU time of a database server.
# shellcheck disable=SC2154,SC2034 # bench.sh and simulator.sh set these; other parts use those

now() { date +%s.%N; }
# The line with the middle number in the first column.
median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }
calculate() { awk "BEGIN { printf \"$1\", $2 }"; }

# Never anything to read: what waits without starting a process.
exec {nothing}<> <(:)
pause() { read -rt "$1" -u "$nothing" || true; } # SECONDS

# The most memory that a process held so far, in kB.
peak_of() { # PID
    local line
    while read -r line; do
        if [[ $line == VmHWM:* ]]; then
            line=${line//[!0-9]/}
            peak=$line
            return
        fi
    done <"/proc/$1/status"
}

# Sets command to that of a run of dbsync2.
prepare() { # FLAGS
    # shellcheck disable=SC2206 # several flags
    command=("${build:-$release/dbsync2}" --c "$campaign" --api-url "$api" --state-dir "$directory/state"
        --log-dir "$directory/log" --status-file "$directory/status" "$@" ${BENCH_FLAGS-})
}

# Runs dbsync2 and sets: seconds, own (CPU seconds), peak (memory in kB).
measure() { # FLAGS
    local pid
    peak=0
    prepare "$@"
    { TIMEFORMAT='%3R %3U %3S'; time "${command[@]}" >"$directory/output" 2>&1; } 2>"$directory/time" &
    program=$!
    while kill -0 "$program" 2>/dev/null; do
        # The program itself is a child of the shell that measures its time.
        pid=
        read -r pid <"/proc/$program/task/$program/children" || true
        [ -z "$pid" ] || peak_of "${pid%% *}" || true
        pause 0.02
    done 2>/dev/null
    wait "$program" || {
        cat "$directory/output" >&2
        echo "bench.sh: $* failed" >&2
        exit 1
    }
    program=
    read -r seconds own system <"$directory/time"
    own=$(calculate %.3f "$own + $system")
}

# CPU seconds of the processes in a list, and of the ended children of the first one.
cpu_of() { # PID ...
    local pid
    for pid in "$@"; do
        sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true
    done | awk -v ticks="$(getconf CLK_TCK)" \
        '{ sum += $12 + $13; if (NR == 1) sum += $14 + $15 } END { printf "%.2f", sum / ticks }'
}

# CPU seconds that the server has used so far, with all its processes.
server_cpu() { # DATABASE
    local pid
    pid=$(cat "$directory/$1/pid" 2>/dev/null) || {
        echo 0
        return
    }
    # shellcheck disable=SC2046 # pids are words
    cpu_of "$pid" $(cat "/proc/$pid"/task/*/children)
}
