"""What python-tds does with the TDS test server: one function per test of python.rs."""

import decimal
import sys
import time

import pytds
from pytds.tds_base import Column
from pytds import tds_types as types

_, function, port, user, password, database = sys.argv


def connect(**more):
    return pytds.connect(dsn="127.0.0.1", port=int(port), user=user, password=password, database=database, **more)


def number_of(cursor, sql, arguments=()):
    try:
        cursor.execute(sql, arguments)
    except pytds.Error as error:
        return error.number
    return None


def parameters():
    connection = connect(autocommit=True)
    cursor = connection.cursor()
    cursor.execute(
        "CREATE TABLE p (id nvarchar(100) NOT NULL PRIMARY KEY, n int, g bigint, f float, b bit, d decimal(18,4), m nvarchar(max))"
    )
    insert = "INSERT INTO p VALUES (%s, %s, %s, %s, %s, %s, %s)"
    row = ("x", -1, 2**40, 2.5, True, decimal.Decimal("12.3456"), "é" * 9000)
    cursor.execute(insert, row)
    assert cursor.rowcount == 1, cursor.rowcount
    cursor.execute(insert, ("y", None, None, None, None, None, None))
    cursor.execute("SELECT * FROM p ORDER BY id")
    assert cursor.fetchall() == [row, ("y",) + (None,) * 6]
    cursor.execute("SELECT m FROM p WHERE id = %s AND n = %s AND f < %s", ("X  ", -1, 3))
    assert cursor.fetchall() == [("é" * 9000,)]


def bulk():
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE b (id nvarchar(20) NOT NULL PRIMARY KEY, n int, f float, m nvarchar(max), d decimal(20,3))")
    connection.commit()
    columns = [
        Column("id", type=types.NVarCharType(20)),
        Column("n", type=types.IntType()),
        Column("f", type=types.FloatType()),
        Column("m", type=types.NVarCharMaxType()),
        Column("d", type=types.DecimalType(20, 3)),
    ]

    def rows(start):
        for n in range(start, start + 3000):
            yield (f"k{n}", n, None if n % 2 else n / 2, "lang " * (n % 50), decimal.Decimal(n) / 8)

    cursor.copy_to(data=rows(0), table_or_view="b", columns=columns)
    connection.commit()
    cursor.copy_to(data=rows(5000), table_or_view="b", columns=columns)
    cursor.execute("SELECT COUNT(*) FROM b")
    assert cursor.fetchall() == [(6000,)]
    connection.rollback()
    cursor.execute("SELECT COUNT(*), MAX(n), MIN(d) FROM b")
    assert cursor.fetchall() == [(3000, 2999, decimal.Decimal("0.000"))]
    cursor.execute("SELECT * FROM b WHERE id = N'k2999'")
    assert cursor.fetchall() == [("k2999", 2999, None, "lang " * 49, decimal.Decimal("374.875"))]


def transactions():
    connection = connect(autocommit=False)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id nvarchar(20) NOT NULL PRIMARY KEY)")
    cursor.execute("INSERT INTO t VALUES (N'kept')")
    connection.commit()
    cursor.execute("INSERT INTO t VALUES (N'lost')")
    connection.rollback()
    cursor.execute("SELECT @@TRANCOUNT, COUNT(*) FROM t")
    assert cursor.fetchall() == [(1, 1)]
    cursor.execute("INSERT INTO t VALUES (N'lost, too')")
    # Without commit.
    connection.close()


def errors():
    connection = connect(autocommit=True)
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE t (id nvarchar(20) NOT NULL PRIMARY KEY, n int)")
    cursor.execute("INSERT INTO t VALUES (N'a', 1)")
    assert number_of(cursor, "INSERT INTO t VALUES (N'A ', 1)") == 2627
    assert number_of(cursor, "INSERT INTO t VALUES (%s, 1)", (None,)) == 515
    assert number_of(cursor, "SELECT nothing FROM t") == 207
    assert number_of(cursor, "SELECT * FROM nowhere") == 208
    assert number_of(cursor, "SELEC 1") == 102
    try:
        pytds.connect(dsn="127.0.0.1", port=int(port), user=user, password="wrong", database=database)
    except pytds.Error as error:
        assert "Login failed" in str(error), error
    else:
        raise AssertionError("logged in with a wrong password")


def too_many_parameters():
    connection = connect(autocommit=True)
    cursor = connection.cursor()
    # The statement and the list of its parameters count, too.
    most = 2100 - 2
    for count, expected in ((most, None), (most + 1, 8003)):
        sql = "SELECT 1 WHERE 1 IN (" + ", ".join(["%s"] * count) + ")"
        assert number_of(cursor, sql, (1,) * count) == expected, count


def cancel():
    connection = connect(autocommit=True)
    cursor = connection.cursor()
    start = time.monotonic()
    cursor._session.submit_plain_query("WAITFOR DELAY '00:01:00'")
    cursor.cancel()
    assert time.monotonic() - start < 30
    cursor.execute("SELECT 42")
    assert cursor.fetchall() == [(42,)]


def small_packets():
    connection = connect(autocommit=True, blocksize=512)
    cursor = connection.cursor()
    text = "0123456789äöü€" * 10000
    cursor.execute("SELECT CAST(%s AS nvarchar(max)), LEN(%s)", (text, text))
    assert cursor.fetchall() == [(text, len(text))]


globals()[function]()
print("ok")
