"""One statement of a reader: parsed by the engine, judged by the guard, run under limits.

What runs is not what was sent but what the engine printed of the tree that was judged, on one line
and without comments: chDB itself obeys lines such as `\\i file`, which no parser sees.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from collector.clickhouse_http import guard
from collector.clickhouse_http.allowed_settings import FILTERS, QueryLimits, of_request
from collector.clickhouse_http.engine import Answer, Engine, answer, literal, prepare
from collector.clickhouse_http.errors import ServerError
from collector.clickhouse_http.native import hello, is_hello
from collector.clickhouse_http.request import HttpQuery

NAME: Final = "otel-agentrun"
CATALOG_SECS: Final = 5.0
"""How long the list of tables is kept; only an upgrade of the collector changes it."""
TABLES: Final = """\
SELECT database, name, engine LIKE '%%MergeTree' OR engine = 'View' AS readable
FROM system.tables WHERE database IN ({database}, 'system') FORMAT JSONCompactEachRow"""
SYSTEM_TABLES: Final = frozenset({
    "aggregate_function_combinators", "build_options", "collations", "columns", "completions",
    "contributors", "data_skipping_indices", "data_type_families", "database_engines", "databases",
    "formats", "functions", "keywords", "licenses", "numbers", "numbers_mt", "one",
    "projections", "settings", "table_engines", "table_functions", "tables", "time_zones", "zeros",
    "zeros_mt",
})  # fmt: skip
"""What clients ask to know the server, and nothing of its state, files or other readers."""
INFORMATION_SCHEMA: Final = frozenset({
    "columns", "engines", "key_column_usage", "referential_constraints", "schemata", "statistics",
    "tables", "views",
})  # fmt: skip
NOT_AS_JSON: Final = "does not support JSON serialization"
DESCRIBE: Final = re.compile(r"(?:DESCRIBE|DESC) TABLE (?P<target>.+)")
OF_TABLE: Final = re.compile(r"(?:EXISTS|SHOW CREATE) (?:TABLE|VIEW) (?P<target>.+)")
OF_DATABASE: Final = re.compile(r"(?:EXISTS|SHOW CREATE) DATABASE `?(?P<name>\w+)`?(?P<rest>.*)")
SHOW_FUNCTIONS: Final = re.compile(r"SHOW FUNCTIONS(?: I?LIKE '[\w%]*')?")
TARGET_KEYS: Final = frozenset({"type", "select", "tables", "settings"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    answer: Answer
    format: str
    elapsed_ns: int


class QueryReader:
    """Runs statements of readers on the engine; safe to use from any thread."""

    def __init__(self, engine: Engine, database: str, limits: QueryLimits) -> None:
        self.engine = engine
        self._database = database
        self._limits = limits
        self._lock = threading.Lock()
        self._tables: tuple[float, list[tuple[str, str, bool]]] = (float("-inf"), [])

    def run(self, query: HttpQuery, token: str) -> Result:
        """Raises ServerError.  `token` is what `kill` takes, from another thread."""
        started_ns = time.perf_counter_ns()
        if is_hello(query.text.decode(errors="replace"), query.default_format, query.transport):
            body = hello(NAME, self.engine.version, self.engine.timezone)
            return _result(Answer(body=body, read_rows=1), "Native", started_ns)
        guard.check_format(query.default_format)
        text = _text(query.text)
        settings = of_request(query.settings, self._limits)
        catalog = self._catalog(query.database)
        sql, verdict, filters = self._judged(
            text, settings.pop(FILTERS, ""), catalog, query.parameters
        )
        settings |= filters
        settings |= {
            "log_comment": token,
            "readonly": "2" if verdict.has_settings else "1",
        }
        with self.engine.connection() as connection:
            prepare(connection, catalog.database, settings)
            found = answer(
                connection, sql.encode(), query.default_format, _parameters(query.parameters)
            )
        return _result(found, verdict.format or query.default_format, started_ns)

    def kill(self, token: str) -> None:
        """End the statement that runs under this token, if it still does."""
        with self.engine.connection() as connection:
            connection.query(f"KILL QUERY WHERE Settings['log_comment'] = {literal(token)} ASYNC")

    # ------------------------------------------------------------------ judging

    def _judged(
        self,
        text: str,
        filters: str,
        catalog: guard.Catalog,
        parameters: Mapping[str, str],
    ) -> tuple[str, guard.Verdict, dict[str, str]]:
        """The statement as the engine prints it, what the guard says of it, and the filters that
        came beside it, written anew."""
        with self.engine.connection() as connection:
            parser_settings = {
                "implicit_select": "0",
                "max_parser_depth": "300",
                "max_query_size": str(4 * len(text.encode()) + 100_000),
                "max_execution_time": "5",
                "max_memory_usage": str(self._limits.memory_bytes_max),
            }
            prepare(connection, "", parser_settings)
            parse = _Parser(connection)
            sql = parse.printed(text)
            tree = parse.tree(sql)
            if tree is None:
                verdict = self._without_tree(sql, parse, catalog, parameters)
            else:
                verdict = guard.check(tree, catalog, self._limits, parameters)
            beside: dict[str, str] = {}
            if filters:
                changes = _last_changes(parse.tree(f"SELECT 1 SETTINGS x = {filters}"))
                pairs = guard.conditions(changes[0]["value"])
                verdict.filters += [condition for _, condition in pairs]
                beside[FILTERS] = _map(pairs)
            for condition in verdict.filters:
                tree = parse.tree(f"SELECT {condition}")
                if tree is None:
                    raise guard.not_allowed(f"this condition in `{FILTERS}`")
                guard.check_filter(tree, catalog, self._limits, parameters)
        return sql, verdict, beside

    def _without_tree(
        self,
        sql: str,
        parse: _Parser,
        catalog: guard.Catalog,
        parameters: Mapping[str, str],
    ) -> guard.Verdict:
        """The few statements that the engine does not give as a tree, by how it prints them: what
        they are about is judged as what a SELECT reads from."""
        if SHOW_FUNCTIONS.fullmatch(sql):
            return guard.Verdict()
        if of_database := OF_DATABASE.fullmatch(sql):
            if of_database["name"] not in catalog.readable or of_database["rest"].strip():
                raise guard.not_allowed("that database")
            return guard.Verdict()
        found = DESCRIBE.fullmatch(sql) or OF_TABLE.fullmatch(sql)
        tree = parse.tree(f"SELECT * FROM {found['target']}") if found else None
        if tree is None:
            raise guard.not_allowed(f"`{' '.join(sql.split()[:2])[:50]}` statements")
        selects = tree["list_of_selects"]["children"]
        if len(selects) != 1 or set(selects[0]) - TARGET_KEYS:
            raise guard.not_allowed("more than a table after DESCRIBE, EXISTS or SHOW CREATE")
        asks_existence = sql.startswith("EXISTS")
        try:
            return guard.check(tree, catalog, self._limits, parameters)
        except ServerError as error:
            if asks_existence and error.name == "UNKNOWN_TABLE":
                return guard.Verdict()
            raise

    def _catalog(self, database: str) -> guard.Catalog:
        """`default` is the store's database: what drivers say that were told none."""
        if database in ("", "default", "__default__"):
            database = self._database
        tables = self._known_tables()
        readable: dict[str, Collection[str]] = {
            self._database: {name for at, name, ok in tables if ok and at == self._database},
            "system": SYSTEM_TABLES,
            "information_schema": INFORMATION_SCHEMA,
            "INFORMATION_SCHEMA": INFORMATION_SCHEMA
            | {name.upper() for name in INFORMATION_SCHEMA},
        }
        if database not in readable:
            message = f"Database {database[:100]} does not exist, or may not be read here"
            raise ServerError(81, "UNKNOWN_DATABASE", message)
        present: set[str] = {name for at, name, _ in tables if at == database}
        present |= set(readable[database])
        return guard.Catalog(database=database, readable=readable, present=present)

    def _known_tables(self) -> list[tuple[str, str, bool]]:
        with self._lock:
            at, tables = self._tables
            if time.monotonic() - at > CATALOG_SECS:
                sql = TABLES.replace("%%", "%").format(database=literal(self._database))
                rows = map(json.loads, self.engine.text(sql).splitlines())
                tables = [(str(at), str(name), bool(ok)) for at, name, ok in rows]
                self._tables = (time.monotonic(), tables)
            return tables


class _Parser:
    """The engine's parser, as two functions of it that take a text."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def printed(self, text: str) -> str:
        """On one line.  Raises RuntimeError with the engine's syntax error."""
        return self._of(f"formatQuerySingleLine({_unhex(text)})")

    def tree(self, text: str) -> dict[str, Any] | None:
        """`None`: the engine has no tree for this kind of statement."""
        try:
            printed = self._of(f"parseQueryToJSON({_unhex(text)})")
        except RuntimeError as error:
            if NOT_AS_JSON in str(error):
                return None
            raise
        try:
            tree: dict[str, Any] = json.loads(printed)
        except RecursionError:
            raise ServerError(306, "TOO_DEEP_RECURSION", "The statement nests too deep") from None
        return tree

    def _of(self, function: str) -> str:
        try:
            body: bytes = self._connection.query(f"SELECT {function}", "TSVRaw").bytes() or b""
        except RuntimeError as error:
            message, _, _ = str(error).partition(": In scope SELECT ")
            if message != str(error):
                name = re.findall(r"\(([A-Z_]+)\)", str(error))[-1:]
                raise RuntimeError(f"{message}. ({name[0] if name else ''})") from error
            raise
        return body.decode().removesuffix("\n")


def _text(raw: bytes) -> str:
    """Raises ServerError for bytes that are no text, or that end it early for a library in C."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ServerError(62, "SYNTAX_ERROR", "The statement is not UTF-8") from error
    if "\x00" in text:
        raise ServerError(62, "SYNTAX_ERROR", "The statement contains a zero byte")
    if not text.strip():
        raise ServerError(62, "SYNTAX_ERROR", "Syntax error: Empty query")
    return text


def _unhex(text: str) -> str:
    """A text as an expression that nothing in the text can end."""
    return f"unhex('{text.encode().hex()}')"


def _last_changes(tree: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The settings of a statement that this module wrote around a setting's value."""
    selects = ((tree or {}).get("list_of_selects") or {}).get("children") or []
    whole = len(selects) == 1 and set(selects[0]) == {"type", "select", "settings"}
    changes = selects[0]["settings"].get("changes") if whole else None
    extra = set(tree or {}) & {"out_file", "format_ast", "settings_ast"}
    if not changes or len(changes) != 1 or extra:
        raise guard.not_allowed(f"this value of `{FILTERS}`")
    return list(changes)


def _map(pairs: Iterable[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{literal(key)}:{literal(value)}" for key, value in pairs) + "}"


def _parameters(parameters: Mapping[str, str]) -> Mapping[str, str]:
    return {name: value for name, value in parameters.items() if name.isidentifier()}


def _result(answer: Answer, name: str, started_ns: int) -> Result:
    return Result(answer=answer, format=name, elapsed_ns=time.perf_counter_ns() - started_ns)


def new_token() -> str:
    """Of one statement: its `log_comment`, by which it can be ended."""
    return f"agentrun-read-{uuid.uuid4().hex}"
