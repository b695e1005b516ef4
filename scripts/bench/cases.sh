# shellcheck shell=bash
# Sourced by bench.sh: the cases (a) to (e) with each database, and the table.
# shellcheck disable=SC2154 # bench.sh and its other parts set these

# ---- one run, as a line: seconds, own CPU, CPU of the server, memory kB, bytes and requests of the API, contacts, rows

# dbsync2 from its start to its end.
run_whole() { # DATABASE FLAGS
    local cpu bytes calls made
    cpu=$(server_cpu "$1")
    count_api
    bytes=$sent_bytes calls=$requests made=$answers_made
    measure "${@:2}"
    # PostgreSQL takes a moment to count in the process that served us.
    sleep 0.3
    cpu=$(calculate %.2f "$(server_cpu "$1") - $cpu")
    count_api
    echo "$seconds $own $cpu $peak $((sent_bytes - bytes)) $((requests - calls)) $listed $(($(written)))"
    tell_of_made $((answers_made - made))
}

# The simulator should have nothing to do but to send.
tell_of_made() { # ANSWERS
    [ "$1" -lt 20 ] || echo "bench.sh: the simulator had to make $1 answers while dbsync2 was measured" >&2
}

# Sets value to a field of the status file; without starting a process, as it is asked while the clock runs.
status_of() { # NAME
    local text
    read -rd '' text <"$directory/status" || true
    [[ $text =~ \"$1\":\ \"?([^\",]*) ]]
    value=${BASH_REMATCH[1]}
}
# Until a field has another value than this.
wait_for_other() { # NAME VALUE
    status_of "$1"
    while [ "$value" = "$2" ]; do
        alive
        pause 0.005
        status_of "$1"
    done
}
wait_for_round() {
    status_of rounds
    wait_for_other rounds "$value"
}

# Ends the script if the running db_sync has ended.
alive() {
    kill -0 "$program" 2>/dev/null || {
        cat "$directory/output" >&2
        echo 'bench.sh: db_sync has ended' >&2
        exit 1
    }
}

# db_sync begins, and has nothing more to do.
start_sync() { # FLAGS
    rm -f "$directory/status"
    prepare --a db_sync "$@"
    "${command[@]}" >"$directory/output" 2>&1 &
    program=$!
    until [ -e "$directory/status" ] && status_of rounds && [ "$value" -gt 1 ]; do
        alive
        pause 0.02
    done
}
end_sync() {
    kill "$program"
    wait "$program"
    program=
}

# One minute of changes. dbsync2 is halted until the simulator has prepared its answers.
run_changes() { # DATABASE
    local before cpu server bytes calls made begin old_contacts old_rows
    kill -STOP "$program"
    status_of checkpoint
    before=$value
    control advance?seconds=60 >/dev/null
    loop contacts "$(workers)" "$before" >/dev/null
    loop per_second "$(workers)" "$before" >>"$directory/changes_loop"
    old_contacts=$(written contacts) old_rows=$(written)
    cpu=$(cpu_of "$program") server=$(server_cpu "$1")
    count_api
    bytes=$sent_bytes calls=$requests made=$answers_made
    begin=$EPOCHREALTIME
    kill -CONT "$program"
    wait_for_other checkpoint "$before"
    seconds=$(calculate %.3f "$EPOCHREALTIME - $begin")
    cpu=$(calculate %.2f "$(cpu_of "$program") - $cpu")
    sleep 0.3
    server=$(calculate %.2f "$(server_cpu "$1") - $server")
    count_api
    peak_of "$program"
    echo "$seconds $cpu $server $peak $((sent_bytes - bytes)) $((requests - calls))" \
        "$(($(written contacts) - old_contacts)) $(($(written) - (old_rows)))"
    tell_of_made $((answers_made - made))
}

# Sets idle_requests to what three rounds ask for, with time between them to count.
count_idle_requests() {
    local calls nth
    start_sync --interval 500ms
    wait_for_round
    count_api
    calls=$requests
    for nth in 1 2 3; do wait_for_round; done
    count_api
    idle_requests=$(calculate %.4g "($requests - $calls) / 3")
    end_sync
}

# Rounds one after the other for some seconds; the line holds the mean of one.
run_idle() { # DATABASE
    local cpu server bytes begin rounds
    wait_for_round
    rounds=$value
    count_api
    bytes=$sent_bytes
    cpu=$(cpu_of "$program") server=$(server_cpu "$1") begin=$EPOCHREALTIME
    sleep 3
    wait_for_round
    seconds=$(calculate %.6f "$EPOCHREALTIME - $begin")
    count_api
    rounds=$((value - rounds))
    cpu=$(calculate %.2f "$(cpu_of "$program") - $cpu") server=$(calculate %.2f "$(server_cpu "$1") - $server")
    peak_of "$program"
    calculate '%.5f %.5f %.5f %d %d %s 0 0\n' "$seconds / $rounds, $cpu / $rounds, $server / $rounds, $peak,
        ($sent_bytes - $bytes) / $rounds, $idle_requests"
}

# ---- the table ----------------------------------------------------------------------------------------------

line() { printf '%-10s %-19s %10s %8s %8s %8s %8s %9s %7s %9s  %-16s %6s\n' "$@"; }

# The median of the runs as a line of the table; of the limit the unit says what to compare with it.
report() { # DATABASE CASE RUNS LIMIT UNIT
    local seconds own server peak bytes calls contacts rows limit=- ratio=-
    read -r seconds own server peak bytes calls contacts rows <<<"$(median <"$3")"
    case $1 in sqlite | sqlserver) server=- ;; esac
    case $5 in
    rows/s) ratio=$(calculate '%.0f %%' "100 * $rows / $seconds / $4") limit="$4 rows/s" ;;
    contacts/s) ratio=$(calculate '%.0f %%' "100 * $contacts / $seconds / $4") limit="$4 contacts/s" ;;
    requests) limit='2 requests' ;;
    esac
    line "$1" "$2" "$(per_second "$contacts" "$seconds")" "$(per_second "$rows" "$seconds")" "$seconds" "$own" \
        "$server" "$(calculate %.1f "$peak / 1024")" "$(calculate %.4g "$bytes / 1e6")" "$calls" "$limit" "$ratio"
}
per_second() { # COUNT SECONDS
    if [ "$1" = 0 ]; then echo -; else calculate %.0f "$1 / $2"; fi
}

# Each of the runs of a case, into a file.
repeat() { # FILE COMMAND
    local nth
    for ((nth = 1; nth <= runs; nth++)); do "${@:2}"; done >"$1"
}
run_init() { # DATABASE
    empty_database "$1"
    run_whole "$1" --a db_init
}

bench_database() { # DATABASE
    local loader_unit=rows/s fetch
    ways_report=
    loader=
    open_database "$1"
    start_simulator "$contacts"
    # The first loop fills the simulator's memory, so that later ones cost it next to nothing.
    listed=$(loop contacts 8)
    fetch=$(loops "$(workers)")
    if has_case a; then
        repeat "$directory/init" run_init "$1"
        if [ "$1" = sqlserver ]; then loader_unit=; else measure_loader "$1"; fi
        report "$1" '(a) db_init' "$directory/init" "$loader" "$loader_unit"
    elif ! has_case b; then
        # The others go on with what is stored.
        run_init "$1" >/dev/null
    fi
    if has_case b; then
        control 'delay?milliseconds=50' >/dev/null
        loop_delayed=${loop_delayed:-$(loops "$(workers)")}
        repeat "$directory/delayed" run_init "$1"
        control 'delay?milliseconds=0' >/dev/null
        report "$1" '(b) db_init, 50 ms' "$directory/delayed" "$loop_delayed" contacts/s
    fi
    if has_case c; then
        repeat "$directory/again" run_whole "$1" --a db_init
        report "$1" '(c) nothing changed' "$directory/again" "$(loops 0)" contacts/s
    fi
    if has_case d; then
        start_sync --interval 10ms
        # The calls take a while to begin.
        status_of checkpoint
        control advance?seconds=120 >/dev/null
        wait_for_other checkpoint "$value"
        : >"$directory/changes_loop"
        repeat "$directory/changes" run_changes "$1"
        end_sync
        report "$1" "(d) $(calculate %.1f "100 * $(median <"$directory/changes" | cut -d ' ' -f 7) / $contacts") % changed" \
            "$directory/changes" "$(median <"$directory/changes_loop")" contacts/s
    fi
    if has_case e; then
        count_idle_requests
        start_sync --interval 1ms
        repeat "$directory/idle" run_idle "$1"
        end_sync
        report "$1" '(e) idle round' "$directory/idle" '' requests
    fi
    [ -z "$ways_report" ] || footnotes+=("$1: bulk loader, rows/s, indexes $ways_report; $(calculate %.1f "$rows / $listed") rows per contact")
    footnotes+=("$1: the simulator alone, $(workers) connections: $fetch contacts/s")
    close_database "$1"
}

printf '%s contacts; median of runs: %s\n' "$contacts" "$runs"
footnotes=()
line '' '' contacts/s rows/s seconds 'own CPU' 'DB CPU' 'memory MB' 'API MB' requests limit ratio
for database in $databases; do
    [ "$database" = webhook ] || bench_database "$database"
done
printf '%s\n' "${footnotes[@]}"
unset DBSYNC_URL DBSYNC_TP
