"""The engine behind the double of a ClickHouse server: the collector's own, and INSERTs."""

from __future__ import annotations

from collections.abc import Mapping

from collector.clickhouse_http.engine import MEMORY, Answer, answer, prepare
from collector.clickhouse_http.engine import Engine as ReadingEngine
from tests.support.clickhouse_statement import Statement

__all__ = ["MEMORY", "Answer", "Engine"]


class Engine(ReadingEngine):
    """Runs whatever a client sends, as the owner of the store."""

    def run(
        self,
        statement: Statement,
        *,
        database: str = "",
        settings: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        default_format: str = "TabSeparated",
    ) -> Answer:
        """Run it on a connection of its own.  Raises ServerError."""
        with self.connection() as connection:
            prepare(connection, database, settings)
            if statement.data is None:
                return answer(connection, statement.sql, default_format, parameters)
            if statement.format == "Values" and parameters:
                sql = b"%b VALUES %b" % (statement.sql, statement.data)
                return answer(connection, sql, default_format, parameters)
            inserter = connection.send_insert(statement.sql.decode(), statement.format)
            with inserter:
                inserter.append(statement.data)
                result = inserter.finish()
            return Answer(written_rows=result.rows_written, written_bytes=result.bytes_written)
