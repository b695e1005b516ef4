#!/usr/bin/env bash
# Runs all fuzz targets of tests/fuzz, each for some minutes, and says what they found.
#
# usage: scripts/fuzz.sh [minutes] [target ...]      1 minute each, all targets, if nothing else is said
#
# Needs cargo and a C++ compiler; installs cargo-fuzz. Works with stable Rust: RUSTC_BOOTSTRAP lets it take the compiler's
# unstable flags. New inputs are kept in tests/fuzz/found, which git ignores. A finding is left in tests/fuzz/artifacts:
# copy it to tests/fuzz/corpus/TARGET when it is mended, so that the tests replay it.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

minutes=${1-1}
shift || true
[[ $minutes =~ ^[1-9][0-9]*$ ]] || {
    echo 'fuzz.sh: usage: scripts/fuzz.sh [minutes] [target ...]' >&2
    exit 2
}
[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

export RUSTC_BOOTSTRAP=1
fuzz() { cargo fuzz "$@"; }
options=(--fuzz-dir tests/fuzz --sanitizer none)
[ $# -gt 0 ] || mapfile -t targets < <(fuzz list --fuzz-dir tests/fuzz)
targets=("$@" "${targets[@]-}")

fuzz build "${options[@]}"
log=$(mktemp "${TMPDIR:-/tmp}/dbsync2-fuzz.XXXXXX")
trap 'rm -f "$log"' EXIT
failed=0
for target in "${targets[@]}"; do
    [ -n "$target" ] || continue
    mkdir -p "tests/fuzz/found/$target"
    # The first directory takes what is new. 32 KB: with one megabyte to spare, larger ones would not say more.
    if fuzz run "${options[@]}" "$target" "tests/fuzz/found/$target" "tests/fuzz/corpus/$target" -- \
        -max_total_time=$((minutes * 60)) -max_len=32768 -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        </dev/null >"$log" 2>&1; then
        outcome='no finding'
    else
        outcome='FAILED'
        failed=1
    fi
    executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    printf '%-14s %s executions in %s minutes: %s\n' "$target" "${executions:-?}" "$minutes" "$outcome"
    [ "$outcome" = 'no finding' ] || tail -n 40 "$log"
done
exit "$failed"
