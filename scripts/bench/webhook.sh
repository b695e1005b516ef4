# shellcheck shell=bash
# Sourced by bench.sh: webhook, beside a plain loop of requests.
#
# What it prints, by the number of connections (--w), medians of the runs:
#   deliveries/s   from the start of the program to its end, which includes reading the contacts from the simulator
#   own CPU        seconds of user and system time
#   memory         the most that dbsync2 held, in MB
#   plain loop     requests/s of a loop over ureq that posts the same bodies, over as many connections
#   ratio          deliveries/s as a share of the loop's, of the run before it: median
# With more than 50000 contacts there is no loop: such a run is for the memory.
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
line() { printf '%11s %13s %8s %10s %11s %6s\n' "$@"; }
line connections deliveries/s 'own CPU' 'memory MB' 'plain loop' ratio
for connections in ${BENCH_CONNECTIONS:-1 2 4 8}; do
    : >"$directory/runs"
    for ((nth = 1; nth <= runs; nth++)); do
        post_all "$connections"
        loop=0
        [ ! -e "$directory/bodies" ] ||
            loop=$("$release/examples/receiver" post --url "$address" --connections "$connections" \
                --file "$directory/bodies" | sed -n 's/^per_second=//p')
        awk -v count="$count" -v s="$seconds" -v loop="$loop" -v own="$own" -v peak="$peak" 'BEGIN {
            printf "%.1f %.0f %s %.1f %s\n", loop ? 100 * count / s / loop : 0, count / s, own, peak / 1024, loop }' \
            >>"$directory/runs"
    done
    read -r ratio speed own memory loop <<<"$(median <"$directory/runs")"
    line "$connections" "$speed" "$own" "$memory" "$loop" "$(calculate '%.0f %%' "$ratio")"
done
