# shellcheck shell=bash
# Sourced by bench.sh: first copies and comparisons of this build and of another one, by turns in one run.
# shellcheck disable=SC2154,SC2034 # bench.sh and its other parts set these

# A first copy and a comparison of what it stored, each as a line into a file of this build.
run_both() { # DATABASE BUILD NAME
    build=$2
    empty_database "$1"
    measure --a db_init
    echo "$seconds $own $peak" >>"$directory/$3-a"
    measure --a db_init
    echo "$seconds $own $peak" >>"$directory/$3-c"
}

# One case of both builds; of three figures the ratio of this build to the other.
compare() { # DATABASE CASE FILE
    local seconds own peak other_seconds other_own other_peak
    read -r seconds own peak <<<"$(median <"$directory/this-$3")"
    read -r other_seconds other_own other_peak <<<"$(median <"$directory/other-$3")"
    line "$1" "$2" "$other_seconds" "$seconds" "$(calculate %.3f "$seconds / $other_seconds")" \
        "$other_own" "$own" "$(calculate %.3f "$own / $other_own")" \
        "$(calculate %.1f "$other_peak / 1024")" "$(calculate %.1f "$peak / 1024")"
    printf '%s %s, seconds of each run: other %s, this %s\n' "$1" "$2" \
        "$(cut -d ' ' -f 1 "$directory/other-$3" | paste -sd ' ')" \
        "$(cut -d ' ' -f 1 "$directory/this-$3" | paste -sd ' ')" >>"$directory/each"
}

line() { printf '%-10s %-20s %10s %10s %7s %10s %10s %7s %10s %10s\n' "$@"; }

[ -n "$quick" ] || runs=5
printf '%s contacts; median of runs: %s; this build is %s\n' "$contacts" "$runs" "$(git describe --always --dirty)"
line '' '' 'other s' 'this s' ratio 'other CPU' 'this CPU' ratio 'other MB' 'this MB'
for database in $databases; do
    open_database "$database"
    start_simulator "$contacts"
    # The first loop fills the simulator's memory, so that later ones cost it next to nothing.
    "$release/examples/fetch_loop" "$api" "$campaign" 8 >/dev/null
    rm -f "$directory"/{this,other}-{a,c}
    for ((nth = 1; nth <= runs; nth++)); do
        run_both "$database" "$other" other
        run_both "$database" "$release/dbsync2" this
    done
    compare "$database" '(a) db_init' a
    compare "$database" '(c) nothing changed' c
    close_database "$database"
done
build=
cat "$directory/each"
