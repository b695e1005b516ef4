#!/usr/bin/env bash
# Lets sqlfluff, which knows T-SQL by other people's reading of its manual, read every statement for SQL Server.
#
# Needs cargo, and sqlfluff: the one that SQLFLUFF names, else one that it installs for itself (python3 with venv, PyPI).
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."

directory=$(mktemp -d "${TMPDIR:-/tmp}/dbsync2-sql.XXXXXX")
trap 'rm -rf "$directory"' EXIT
if [ -z "${SQLFLUFF-}" ]; then
    python3 -m venv "$directory/python"
    "$directory/python/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: \
        --require-hashes -r scripts/requirements/tests.txt
    SQLFLUFF=$directory/python/bin/sqlfluff
fi

DBSYNC_TEST_STATEMENTS=$directory/statements.sql \
    cargo test --locked --lib destination::sql::sqlserver::statement::tests::every_statement >"$directory/output" 2>&1 </dev/null || {
    cat "$directory/output" >&2
    exit 1
}
[ -s "$directory/statements.sql" ] || {
    echo "check-sql.sh: the test has written no statements" >&2
    exit 1
}
# What the driver says for a bulk load. sqlfluff does not know INSERT BULK: that it is refused shows that it refuses.
echo 'SELECT TOP 0 [c0], [c1] FROM [#stage_contacts];' >>"$directory/statements.sql"
echo 'INSERT BULK [#stage_contacts] ([c0] nvarchar(900), [c1] nvarchar(max));' >"$directory/bulk.sql"

parse() { "$SQLFLUFF" parse --dialect tsql --nocolor "$1" >"$directory/tree" 2>&1; }
parse "$directory/statements.sql" || {
    grep -B3 -i -m20 'unparsable' "$directory/tree" >&2 || tail -20 "$directory/tree" >&2
    echo "check-sql.sh: sqlfluff refuses statements for SQL Server" >&2
    exit 1
}
! parse "$directory/bulk.sql" || {
    echo "check-sql.sh: sqlfluff accepts INSERT BULK now: let it read that, too" >&2
    exit 1
}
echo "sqlfluff understands the $(grep -c '^GO$' "$directory/statements.sql") statements for SQL Server"
