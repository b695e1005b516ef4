#!/usr/bin/env bash
# Changes the code of the pure modules, one condition or value at a time, and shows each change that no unit test notices.
#
# usage: scripts/mutants.sh [FILE...]      such as src/sync/windows.rs; all pure modules, if none is given
#
# Needs cargo; installs cargo-mutants by scripts/tools.sh. The outcome is kept in target/mutants/mutants.out.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

case ${1-} in
-*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
[ $# -gt 0 ] || set -- src/sync/windows.rs src/sync/part_size.rs src/destination/webhook/gate.rs \
    src/destination/webhook/queue.rs src/destination/sql/decimal.rs src/net/retry.rs src/tables/ids.rs \
    src/tables/filter.rs src/tables/numbers.rs
files=()
for file in "$@"; do
    [ -e "$file" ] || {
        echo "mutants.sh: there is no $file" >&2
        exit 2
    }
    files+=(--file "$file")
done

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
scripts/tools.sh mutants
# A directory of its own: cargo takes what was compiled of the changed copy for this program. A quick build matters more than
# quick tests.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}/mutants CARGO_PROFILE_DEV_OPT_LEVEL=0 CARGO_PROFILE_DEV_DEBUG=0
mkdir -p "$CARGO_TARGET_DIR"
# The unit tests of these modules and of those that are made of them. --lib has to be said for the build, too.
exec nice cargo mutants --no-shuffle --output "$CARGO_TARGET_DIR" --timeout 60 --build-timeout 600 "${files[@]}" \
    --cargo-arg=--locked --cargo-arg=--lib -- -- destination:: net:: source:: sync:: tables::
