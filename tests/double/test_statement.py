"""What a request asks for is read as a server reads it, without touching the data of an INSERT."""

from __future__ import annotations

import pytest

from collector.clickhouse_http.errors import ServerError
from tests.support.clickhouse_statement import parse


@pytest.mark.parametrize(
    ("text", "sql", "data_format", "data"),
    [
        (b"INSERT INTO t (a) FORMAT Native\n\x01;'", b"INSERT INTO t (a) ", "Native", b"\x01;'"),
        (b"INSERT INTO t FORMAT CSV 1,2\n", b"INSERT INTO t ", "CSV", b"1,2\n"),
        (b"INSERT INTO t FORMAT CSV\n\n", b"INSERT INTO t ", "CSV", b"\n"),
        (b"insert into `FORMAT x` values (1)", b"insert into `FORMAT x` ", "Values", b" (1)"),
        (
            b"INSERT INTO t (`values`) SETTINGS async_insert = 0 FORMAT ArrowStream\n",
            b"INSERT INTO t (`values`) SETTINGS async_insert = 0 ",
            "ArrowStream",
            b"",
        ),
    ],
)
def test_rows_start_after_the_format(
    text: bytes, sql: bytes, data_format: str, data: bytes
) -> None:
    """One line end after the format's name is not data; names in quotes are no keywords."""
    statement = parse(text)

    assert statement.is_insert
    assert (statement.sql, statement.format, statement.data) == (sql, data_format, data)


@pytest.mark.parametrize(
    ("text", "is_insert", "is_read"),
    [
        (b"SELECT 1 FORMAT JSON", False, True),
        (b"-- why\n WITH 1 AS x SELECT x", False, True),
        (b"(SELECT 1) UNION ALL (SELECT 2)", False, True),
        (b"DESCRIBE TABLE t", False, True),
        (b"INSERT INTO t SELECT * FROM u FORMAT Null", True, False),
        (b"WITH 1 AS x INSERT INTO t SELECT x", True, False),
        (b"ALTER TABLE t DROP COLUMN a", False, False),
        (b"SELECT 'INSERT INTO t VALUES'", False, True),
    ],
)
def test_reads_and_writes_are_told_apart(text: bytes, is_insert: bool, is_read: bool) -> None:
    """A read-only server refuses exactly what is no read."""
    statement = parse(text)

    assert (statement.is_insert, statement.is_read, statement.data) == (is_insert, is_read, None)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"SELECT 1; DROP TABLE t", 62),
        (b"INSERT INTO t FROM INFILE '/tmp/x' FORMAT CSV", 78),
        (b"SELECT 1 INTO OUTFILE '/tmp/x'", 358),
    ],
)
def test_what_only_an_embedded_engine_does_is_refused(text: bytes, code: int) -> None:
    """chDB runs two statements at once and reads local files; a server does neither."""
    with pytest.raises(ServerError) as caught:
        parse(text)
    assert caught.value.code == code


def test_one_statement_may_end_with_a_semicolon() -> None:
    assert parse(b"SELECT ';' ; -- done\n").is_read
