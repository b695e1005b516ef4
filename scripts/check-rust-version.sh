#!/usr/bin/env bash
# Checks that the program compiles with the oldest Rust that Cargo.toml promises (rust-version).
#
# Its toolchain is installed by rustup. Where it cannot be had, that is said, and nothing is checked. C is left out, as in
# scripts/check-systems.sh: it does not depend on Rust's version.
set -euo pipefail
cd "$(dirname "$0")/.."

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
version=$(sed -n 's/^rust-version = "\([0-9.]*\)"$/\1/p' Cargo.toml)
[ -n "$version" ] || {
    echo "check-rust-version.sh: Cargo.toml declares no rust-version" >&2
    exit 1
}
if ! timeout 300 rustup toolchain install "$version" --profile minimal --no-self-update; then
    echo "NOT CHECKED with Rust $version: rustup cannot install it here (its messages are above)"
    exit 0
fi
# Build scripts call a compiler that does nothing; nothing is linked.
CC=true AR=true cargo "+$version" check --locked --profile demo --lib --bins
