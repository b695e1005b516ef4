# shellcheck shell=bash
# Sourced by bench.sh: webhook, beside a plain loop of requests.
#
# What it prints, by the number of connections (--w), medians of the runs; simulator and receiver take their share of
# the same machine in each of them:
#   deliveries/s   of webhook's lanes, which get what they post from a file, as the loop beside them does (lane_loop.rs)
#   plain loop     requests/s of a loop over ureq that posts the same bodies over as many connections
#   ratio          deliveries/s as a share of the loop's, of the run just before it: median
#   whole program  deliveries/s from the start of the program to its end, which includes listing the events and reading
#                  and taking apart the contacts
#   plain copy     the same of a plain program that reads all contacts with as many threads, takes them apart and posts
#                  (receiver_program/copy.rs)
#   ratio          as above
#   own CPU        seconds of user and system time of the whole program
#   memory         the most that it held, in MB
# With more than 50000 contacts there are no others to compare with: such a run is for the memory.
# shellcheck disable=SC2154 # bench.sh sets these

listen() {
    : >"$directory/receiver"
    "$release/examples/receiver" listen --port 0 "$@" >"$directory/receiver" &
    receiver=$!
    until grep -q '^url=' "$directory/receiver"; do
        kill -0 "$receiver"
        sleep 0.1
    done
    address=$(sed -n 's/^url=//p' "$directory/receiver")
}
# Everything from the beginning of the campaign; sets count besides what measure sets.
post_all() { # CONNECTIONS
    rm -rf "$directory/state"
    measure --a webhook --once --s 2000-01-01 --w "$1" --url "$address"
    count=$(sed -n 's/.*"delivered": \([0-9]*\).*/\1/p' "$directory/status")
}

if [ "$contacts" -le 50000 ]; then
    # This run also fills the simulator's memory, so that later ones cost it next to nothing.
    listen --save "$directory/bodies"
    post_all 8
    kill "$receiver"
    wait "$receiver" 2>/dev/null || true
    printf '%d transactions, %s MB\n' "$count" "$(du -m "$directory/bodies" | cut -f 1)"
fi
listen
line() { printf '%11s %13s %11s %6s %14s %11s %6s %8s %10s\n' "$@"; }
line connections deliveries/s 'plain loop' ratio 'whole program' 'plain copy' ratio 'own CPU' 'memory MB'
per_second() { sed -n 's/^per_second=//p'; }
share() { awk -v one="$1" -v other="$2" 'BEGIN { printf "%.1f", other ? 100 * one / other : 0 }'; }
for connections in ${BENCH_CONNECTIONS:-1 2 4 8}; do
    : >"$directory/lanes"
    : >"$directory/whole"
    for ((nth = 1; nth <= runs; nth++)); do
        lanes=0 loop=0 copy=0
        if [ -e "$directory/bodies" ]; then
            loop=$("$release/examples/receiver" post --url "$address" --connections "$connections" \
                --file "$directory/bodies" | per_second)
            mkdir "$directory/lane_loop"
            lanes=$("$release/examples/lane_loop" "$address" "$connections" "$directory/bodies" "$directory/lane_loop")
            rm -r "$directory/lane_loop"
            copy=$("$release/examples/receiver" copy --url "$address" --connections "$connections" \
                --api "$api" --campaign "$campaign" | per_second)
        fi
        printf '%s %s %s\n' "$(share "$lanes" "$loop")" "$lanes" "$loop" >>"$directory/lanes"
        post_all "$connections"
        whole=$(calculate %.0f "$count / $seconds")
        printf '%s %s %s %s %s\n' "$(share "$whole" "$copy")" "$whole" "$copy" "$own" "$(calculate %.1f "$peak / 1024")" \
            >>"$directory/whole"
    done
    read -r ratio lanes loop <<<"$(median <"$directory/lanes")"
    read -r whole_ratio whole copy own memory <<<"$(median <"$directory/whole")"
    line "$connections" "$lanes" "$loop" "$(calculate '%.0f %%' "$ratio")" "$whole" "$copy" \
        "$(calculate '%.0f %%' "$whole_ratio")" "$own" "$memory"
done
