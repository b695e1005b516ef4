#!/usr/bin/env bash
# Checks that the program compiles for the systems that it can't be tried on here: macOS, and Windows without Wine.
#
# usage: scripts/check-systems.sh [TARGET...]      x86_64-apple-darwin, aarch64-apple-darwin, x86_64-pc-windows-gnu; all
#
# Its own code and that of its libraries is checked for calls that a system does not have, and for warnings. C is left
# out, as that wants each system's headers: scripts/build-static.sh compiles it for Windows. Needs rustup, for the targets.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1-} in
-h | --help)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
esac
[ $# -gt 0 ] || set -- x86_64-apple-darwin aarch64-apple-darwin x86_64-pc-windows-gnu
[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"

for try in 1 2 3; do
    rustup target add "$@" && break
    [ "$try" -lt 3 ] || exit 1
    sleep 10
done
for target in "$@"; do
    printf '\n== %s\n' "$target"
    # Build scripts call a compiler that does nothing; nothing is linked. The SDK is any directory, or they look for one.
    name=${target//-/_}
    env "CC_$name=true" "AR_$name=true" SDKROOT=/usr cargo clippy --locked --lib --bins --target "$target" -- -D warnings
done
