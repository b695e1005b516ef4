# shellcheck shell=bash
# Sourced by bench.sh: how time and memory of db_init depend on the number of contacts.
# shellcheck disable=SC2154 # bench.sh and its other parts set these

run_init() { # DATABASE
    empty_database "$1"
    measure --a db_init
    echo "$seconds $own $peak $(($(written)))"
}

line() { printf '%-10s %9s %9s %13s %9s %10s %10s %8s %9s\n' "$@"; }
line '' contacts seconds 'µs/contact' relative contacts/s rows/s 'own CPU' 'memory MB'
for database in $databases; do
    first=
    for contacts in "${numbers[@]}"; do
        # Large ones average out by themselves.
        if [ "$contacts" -gt 100000 ] || [ -n "$quick" ]; then runs=1; else runs=3; fi
        open_database "$database"
        start_simulator "$contacts"
        "$release/examples/fetch_loop" "$api" "$campaign" 8 >/dev/null
        for ((nth = 1; nth <= runs; nth++)); do run_init "$database"; done >"$directory/init"
        read -r seconds own peak rows <<<"$(median <"$directory/init")"
        each=$(calculate %.1f "1e6 * $seconds / $contacts")
        first=${first:-$each}
        line "$database" "$contacts" "$seconds" "$each" "$(calculate '%.0f %%' "100 * $each / $first")" \
            "$(calculate %.0f "$contacts / $seconds")" "$(calculate %.0f "$rows / $seconds")" "$own" \
            "$(calculate %.1f "$peak / 1024")"
        close_database "$database"
    done
done
