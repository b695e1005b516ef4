# shellcheck shell=bash
# Sourced by bench.sh: webhook, beside a plain loop of requests.
#
# What is compared: a plain loop over ureq that has the bodies in its memory, posts them over so many connections, and does
# nothing else; webhook's lanes, which have the same bodies in memory and post them over as many connections, with all that
# a delivery takes (order by contact, ids, ledger and its syncs, spool); and the whole program, which lists events, reads
# contacts from the API and takes them apart as well. All post to the same receiver, which answers at once and counts, and
# shares the machine with them; so does the simulator in the last case.
#
# What it prints, by the number of connections (--w), medians of the runs:
#   plain loop     requests/s of the loop, from the first to the last
#   lanes          deliveries/s of the lanes, from their start to the last sync of the ledger (lane_loop.rs)
#   ratio          as a share of the loop's in the run just after it
#   deliveries/s   of the whole program, from the first to the last delivery
#   ratio          as a share of the loop's in the run just before it
#   start to end   deliveries/s of the same run from the start of the program to its end
#   plain copy     requests/s of a plain program that reads all contacts with as many threads, each of them once, takes
#                  them apart and posts, from start to end (receiver_program/copy.rs)
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
# What came since the last time; sets requests, per_second.
ask_receiver() {
    local text
    text=$("$release/examples/receiver" count --url "$address")
    requests=$(sed -n 's/^requests=//p' <<<"$text")
    per_second=$(sed -n 's/^per_second=//p' <<<"$text")
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
line() { printf '%11s %10s %8s %6s %12s %6s %12s %10s %8s %10s\n' "$@"; }
line connections 'plain loop' lanes ratio deliveries/s ratio 'start to end' 'plain copy' 'own CPU' 'memory MB'
share() { awk -v one="$1" -v other="$2" 'BEGIN { printf "%.1f\n", other ? 100 * one / other : 0 }'; }
for connections in ${BENCH_CONNECTIONS:-1 2 4 8}; do
    : >"$directory/runs"
    for ((nth = 1; nth <= runs; nth++)); do
        lanes=0 loop=0 copy=0
        if [ -e "$directory/bodies" ]; then
            mkdir "$directory/lane_loop"
            lanes=$("$release/examples/lane_loop" "$address" "$connections" "$directory/bodies" "$directory/lane_loop")
            rm -r "$directory/lane_loop"
            copy=$("$release/examples/receiver" copy --url "$address" --connections "$connections" \
                --api "$api" --campaign "$campaign" | sed -n 's/^per_second=//p')
            ask_receiver
            "$release/examples/receiver" post --url "$address" --connections "$connections" \
                --file "$directory/bodies" >/dev/null
            ask_receiver
            loop=$per_second
        fi
        post_all "$connections"
        ask_receiver
        [ "$requests" = "$count" ] || {
            echo "bench.sh: the receiver counts $requests requests, webhook $count" >&2
            exit 1
        }
        whole=$(calculate %.0f "$count / $seconds")
        echo "$per_second $loop $whole $own $(calculate %.1f "$peak / 1024")" >>"$directory/runs"
        share "$per_second" "$loop" >>"$directory/ratios"
        echo "$lanes" >>"$directory/lanes"
        share "$lanes" "$loop" >>"$directory/lane_ratios"
        echo "$copy" >>"$directory/copies"
    done
    read -r steady loop whole own memory <<<"$(median <"$directory/runs")"
    of() { median <"$directory/$1"; }
    percent() { calculate '%.0f %%' "$(of "$1")"; }
    line "$connections" "$loop" "$(of lanes)" "$(percent lane_ratios)" "$steady" "$(percent ratios)" "$whole" \
        "$(of copies)" "$own" "$memory"
    rm "$directory"/{lanes,lane_ratios,ratios,copies}
done
