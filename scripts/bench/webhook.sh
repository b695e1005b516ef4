# shellcheck shell=bash
# Sourced by bench.sh: webhook, beside a plain loop of requests.
#
# What it prints of each run:
#   deliveries/s   from the start of the program to its end, which includes reading the contacts from the simulator
#   plain loop     requests/s of a loop over ureq that posts the same bodies, over as many connections
#   memory         the most that dbsync2 held, in MB
# With more than 50000 contacts there is no loop: such a run is for the memory.
# shellcheck disable=SC2154 # bench.sh sets these

connections=8

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
post_all() {
    rm -rf "$directory/state"
    measure --a webhook --once --s 2000-01-01 --w $connections --url "$address"
    count=$(sed -n 's/.*"delivered": \([0-9]*\).*/\1/p' "$directory/status")
}

if [ "$contacts" -le 50000 ]; then
    # This run also fills the simulator's memory, so that later ones cost it next to nothing.
    listen --save "$directory/bodies"
    post_all
    kill "$receiver"
    wait "$receiver" 2>/dev/null || true
    printf 'Bodies: %s MB\n' "$(du -m "$directory/bodies" | cut -f 1)"
fi
listen
for ((nth = 1; nth <= runs; nth++)); do
    post_all
    printf '%d deliveries in %.1f s: %.0f/s, own CPU %.1f s, memory %.1f MB' "$count" "$seconds" \
        "$(calculate %.0f "$count / $seconds")" "$own" "$(calculate %.1f "$peak / 1024")"
    if [ -e "$directory/bodies" ]; then
        loop=$("$release/examples/receiver" post --url "$address" --connections $connections \
            --file "$directory/bodies" | sed -n 's/^per_second=//p')
        printf '; plain loop %.0f/s; ratio %.0f %%' "$loop" "$(calculate %.1f "100 * $count / $seconds / $loop")"
    fi
    echo
done
