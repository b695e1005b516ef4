# shellcheck shell=bash
# Sourced by bench.sh: where the CPU time of (a) goes, by perf's samples on the release build with line numbers.
#
# Each sample belongs to the innermost function of dbsync2 or of a crate around it, also where the compiler has put that
# into another one; what the standard library does counts for whoever called it there. Samples in the C library and in
# the kernel have no such place and stand by themselves.
# shellcheck disable=SC2154 # bench.sh and its other parts set these

# Where the program's code lies in its file, as the difference to where it lies in memory.
address_shift() { # SAMPLES
    local start offset segment
    read -r start offset < <(perf script --input "$1" --show-mmap-events 2>/dev/null |
        sed -n 's/.*MMAP2.*\[0x\([0-9a-f]*\)(.*@ \(0x\)\{0,1\}\([0-9a-f]*\) .*r-xp .*\/dbsync2$/\1 \3/p' | head -n 1)
    # Address and place in the file of the segment with the code.
    segment=$(readelf -lW "$program_file" | sed -n 's/^ *LOAD *\(0x[0-9a-f]*\) \(0x[0-9a-f]*\) .* R E .*/\2 - \1/p')
    echo $((16#$offset - 16#$start + segment))
}

# Address in the file and number of samples, for those in the program.
addresses() { # SHIFT
    local count ip
    while read -r count ip; do
        printf '%x %s\n' $((16#$ip + $1)) "$count"
    done < <(sed -n 's/^ *\([0-9a-f]*\) (.*\/dbsync2)$/\1/p' "$directory/script" | sort | uniq -c)
}

# From the functions and files of each address (addr2line), innermost first, to its place.
places() {
    awk '
        function done() { if (address != "") print address, (place == "" ? other : place) }
        /^0x[0-9a-f]+$/ { done(); address = $0; sub(/^0x0*/, "", address); place = ""; other = "unknown"; nth = 0; next }
        ++nth % 2 || place != "" { next }
        /\/registry\/src\// { place = $0; sub(/.*\/registry\/src\/[^\/]*\//, "", place); sub(/\/.*/, "", place)
            sub(/-[0-9]+\..*/, "", place); next }
        /\/sqlite3\.c:/ { place = "libsqlite3-sys"; next }
        /\/rustc\/|\/library\// { other = "standard_library"; next }
        /(^|\/)src\// { place = $0; sub(/.*\/src\//, "", place); sub(/^src\//, "", place); sub(/(\.rs)?:.*/, "", place)
            place = "src/" place; next }
        END { done() }'
}

samples=$directory/samples
database=$databases
open_database "$database"
start_simulator "$contacts"
"$release/examples/fetch_loop" "$api" "$campaign" 8 >/dev/null
empty_database "$database"
# By the clock, which each machine has; counters of the processor are often hidden from virtual ones.
# shellcheck disable=SC2086 # several flags
perf record --quiet --event cpu-clock --freq 1999 --output "$samples" -- "$release/dbsync2" --a db_init \
    --c "$campaign" --api-url "$api" --state-dir "$directory/state" --log-dir "$directory/log" ${BENCH_FLAGS-} \
    >"$directory/output" 2>&1 || {
    cat "$directory/output" >&2
    exit 1
}
perf script --input "$samples" --fields ip,dso >"$directory/script" 2>/dev/null
addresses "$(address_shift "$samples")" >"$directory/addresses"
cut -d ' ' -f 1 "$directory/addresses" | addr2line -a -i -f -e "$program_file" | places >"$directory/places"

printf '%s, %s contacts, perf with cpu-clock: %s samples, 1999 a second\n' "$database" "$contacts" \
    "$(wc -l <"$directory/script")"
{
    join -j 1 <(sort "$directory/places") <(sort "$directory/addresses") | awk '{ print $2, $3 }'
    grep -v '/dbsync2)$' "$directory/script" | sed 's/.*(//; s/)$//; s/.*\///' | awk '
        /kernel|\[unknown\]/ { print "kernel", 1; next }
        /^libc[.-]/ { print "C_library", 1; next }
        { print $1, 1 }'
} | awk '{ all += $2; part[$1] += $2 }
    END {
        for (each in part)
            if (part[each] >= all / 100) printf "%6.1f %%  %s\n", 100 * part[each] / all, each
            else rest += part[each]
        printf "%6.1f %%  all others, each below 1 %%\n", 100 * rest / all
    }' | sort -rn | sed 's/standard_library/standard library of Rust/; s/C_library/C library/; s/unknown/code without line numbers/'
close_database "$database"
