"""What one HTTP request asks of ClickHouse: the statement, and the data that follows an INSERT.

A server reads `INSERT … FORMAT Native` and takes every byte after it as data, so only the statement
may be looked at as SQL.  Source: ClickHouse, src/Parsers/ParserInsertQuery.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from collector.clickhouse_http.errors import ServerError

TOKEN: Final = re.compile(
    rb"""(?P<space>\s+|--[^\n]*|\#[\ !][^\n]*|/\*.*?\*/)
    |(?P<quoted>'(?:[^'\\]|\\.|'')*'|`(?:[^`\\]|\\.|``)*`|"(?:[^"\\]|\\.|"")*")
    |(?P<word>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<other>.)""",
    re.DOTALL | re.VERBOSE,
)
LINE_END: Final = re.compile(rb"[ \t\r]*\n?")
READS: Final = re.compile(r"SELECT|WITH|SHOW|DESCRIBE|DESC|EXPLAIN|EXISTS|CHECK|\(")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement.  `data` is `None` unless it is an INSERT that brings rows."""

    sql: bytes
    """Without FORMAT, VALUES and data, where there is data."""
    is_insert: bool
    is_read: bool
    format: str = ""
    """Of the data, or as the statement asks for its result; "" where it names none."""
    data: bytes | None = None


def parse(text: bytes) -> Statement:
    """Raises ServerError for a second statement and for files of the client's machine."""
    depth = 0
    words: list[str] = []
    insert = False
    output_format = ""
    format_start = 0
    ended = False
    for token in _tokens(text):
        if ended:
            raise ServerError(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
        piece = token.group()
        depth += (piece == b"(") - (piece == b")")
        ended = piece == b";" and depth == 0
        if token.lastgroup != "word" or depth != 0:
            if not words and not ended:
                words.append(piece.decode(errors="replace"))
            continue
        word = piece.decode().upper()
        previous = words[-1] if words else ""
        words.append(word)
        if word == "INSERT" and words[0] in ("INSERT", "WITH"):
            insert = True
        elif word == "OUTFILE" and previous == "INTO":
            raise ServerError(358, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed")
        elif insert and word == "INFILE" and previous == "FROM":
            raise ServerError(
                78, "UNKNOWN_TYPE_OF_QUERY", "FROM INFILE is for a client, not for a server"
            )
        elif insert and word == "VALUES" and "SELECT" not in words:
            return Statement(
                sql=text[: token.start()],
                is_insert=True,
                is_read=False,
                format="Values",
                data=text[token.end() :],
            )
        elif word == "FORMAT":
            format_start = token.start()
        elif previous == "FORMAT":
            output_format = piece.decode()
            if insert and "SELECT" not in words:
                return Statement(
                    sql=text[:format_start],
                    is_insert=True,
                    is_read=False,
                    format=output_format,
                    data=_after_line(text, token.end()),
                )
    first = words[0] if words else ""
    return Statement(
        sql=text,
        is_insert=insert,
        is_read=not insert and READS.fullmatch(first) is not None,
        format=output_format,
    )


def _tokens(text: bytes) -> Iterator[re.Match[bytes]]:
    """Lazily, so that data after an INSERT is never looked at."""
    return (token for token in TOKEN.finditer(text) if token.lastgroup != "space")


def _after_line(text: bytes, position: int) -> bytes:
    """What follows the format's name: blanks up to and with one line end are not data."""
    found = LINE_END.match(text, position)
    assert found is not None  # it may match nothing
    return text[found.end() :]
