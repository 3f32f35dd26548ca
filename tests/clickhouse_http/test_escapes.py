"""Attempts to get out of the read endpoint: each is refused, and nothing is read or written.

The embedded engine has one all-powerful user and no grants, so what the guard lets through, runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from collector.clickhouse_http.allowed_settings import QueryLimits
from collector.clickhouse_http.engine import Engine
from collector.clickhouse_http.errors import ServerError
from collector.clickhouse_http.reader import QueryReader, new_token
from collector.clickhouse_http.request import read_http_query
from tests.support.store import (  # noqa: F401
    store_database,
    store_engine,
    store_path,
)

SECRET = "c0ffee-secret-of-another-file"
FILE = "FILES/secret.txt"
DENIED = ("ACCESS_DENIED", "INTO_OUTFILE_NOT_ALLOWED", "READONLY", "SETTING_CONSTRAINT_VIOLATION")
NONE = ("SYNTAX_ERROR", "UNKNOWN_TABLE", "UNKNOWN_FORMAT", "UNKNOWN_DATABASE", "BAD_ARGUMENTS")

STATEMENTS = [
    # files
    f"SELECT file('{FILE}')",
    f"SELECT `file`('{FILE}')",
    f"SELECT \"file\"('{FILE}')",
    f"SELECT FILE('{FILE}')",
    f"SELECT arrayMap(x -> file(x), ['{FILE}'])",
    f"SELECT * APPLY(x -> file(x)) FROM (SELECT '{FILE}')",
    f"SELECT * APPLY(file) FROM (SELECT '{FILE}' AS a)",
    f"SELECT COLUMNS('a') APPLY file FROM (SELECT '{FILE}' AS a)",
    f"SELECT * REPLACE(file(a) AS a) FROM (SELECT '{FILE}' AS a)",
    f"WITH file('{FILE}') AS x SELECT x",
    f"SELECT 1 WHERE file('{FILE}') != ''",
    f"SELECT 1 ORDER BY file('{FILE}')",
    f"SELECT count() FROM numbers(1) GROUP BY file('{FILE}')",
    f"SELECT number FROM numbers(1) LIMIT length(file('{FILE}')) BY number",
    f"SELECT 1 UNION ALL SELECT length(file('{FILE}'))",
    f"SELECT (SELECT file('{FILE}'))",
    f"SELECT if(1, file('{FILE}'), '')",
    f"SELECT {{x:String}} || file('{FILE}')",
    f"SELECT /* ; */ file/**/('{FILE}')",
    f"SELECT sum(1) OVER (PARTITION BY file('{FILE}'))",
    f"SELECT * FROM file('{FILE}')",
    f"SELECT * FROM file('{FILE}', LineAsString)",
    f"SELECT 1 IN file('{FILE}', LineAsString)",
    f"SELECT * FROM (SELECT * FROM file('{FILE}', LineAsString))",
    f"SELECT * FROM view(SELECT file('{FILE}'))",
    f"SELECT * FROM viewExplain('EXPLAIN', '', (SELECT file('{FILE}')))",
    f"SELECT * FROM `{FILE}`",
    f"SELECT * FROM '{FILE}'",
    f"WITH `{FILE}` AS (SELECT 1) SELECT * FROM `{FILE}`",
    f"SELECT * FROM default.`{FILE}`",
    f"DESCRIBE TABLE file('{FILE}', LineAsString)",
    f"DESC (SELECT file('{FILE}'))",
    f"EXPLAIN SELECT file('{FILE}')",
    f"EXPLAIN PLAN SELECT * FROM file('{FILE}')",
    f"SHOW TABLES WHERE file('{FILE}') != ''",
    f"SHOW CREATE TABLE file('{FILE}')",
    f"EXISTS TABLE file('{FILE}')",
    f"\\i {FILE}",
    f"SELECT 1\n\\i {FILE}",
    f"SELECT * FROM fileCluster('default', '{FILE}')",
    "SELECT * FROM filesystem('FILES')",
    f"SELECT * FROM format(LineAsString, file('{FILE}'))",
    f"SELECT * FROM sqlite('{FILE}', 't')",
    f"SELECT * FROM executable('cat {FILE}', TabSeparated, 'a String')",
    "SELECT * FROM icebergLocal('FILES')",
    "SELECT * FROM Python(secret)",
    "SELECT * FROM eval('SELECT 1')",
    # networks and other servers
    "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
    "SELECT * FROM s3('http://127.0.0.1:1/b/k')",
    "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "SELECT * FROM remoteSecure('127.0.0.1:1', system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM hdfs('hdfs://127.0.0.1:1/x', 'TSV')",
    "SELECT aiGenerate('x')",
    # writing
    "SELECT 1 INTO OUTFILE 'FILES/out.txt'",
    "SELECT 1 INTO OUTFILE 'FILES/out.txt' AND STDOUT",
    "SELECT 1 INTO OUTFILE 'FILES/out.txt' TRUNCATE FORMAT CSV",
    "DESCRIBE TABLE agent_runs INTO OUTFILE 'FILES/out.txt'",
    "SHOW TABLES INTO OUTFILE 'FILES/out.txt'",
    "EXPLAIN SELECT 1 INTO OUTFILE 'FILES/out.txt'",
    "EXISTS TABLE agent_runs INTO OUTFILE 'FILES/out.txt'",
    "INSERT INTO agent_runs (RunId) VALUES ('x')",
    "INSERT INTO agent_runs (RunId) SELECT 'x'",
    "INSERT INTO FUNCTION file('FILES/out.txt', CSV) SELECT 1",
    f"INSERT INTO agent_runs FROM INFILE '{FILE}' FORMAT CSV",
    "CREATE TABLE escaped (a Int8) ENGINE = Memory",
    "CREATE TABLE escaped ENGINE = File(CSV, 'FILES/out.txt') AS SELECT 1",
    "CREATE FUNCTION escaped AS (x) -> x",
    "CREATE DICTIONARY escaped (a UInt64) PRIMARY KEY a SOURCE(FILE(path 'x' format 'TSV'))"
    " LAYOUT(FLAT()) LIFETIME(0)",
    "DROP TABLE agent_runs",
    "TRUNCATE TABLE agent_runs",
    "ALTER TABLE agent_runs DELETE WHERE 1",
    "DELETE FROM agent_runs WHERE 1",
    "UPDATE agent_runs SET RunId = '' WHERE 1",
    "OPTIMIZE TABLE agent_runs FINAL",
    "RENAME TABLE agent_runs TO escaped",
    "DETACH TABLE agent_runs",
    "BACKUP TABLE agent_runs TO File('FILES/out.txt')",
    "SYSTEM STOP MERGES",
    "KILL QUERY WHERE 1",
    "SET max_execution_time = 0",
    "SET readonly = 0",
    "USE system",
    "GRANT ALL ON *.* TO default",
    "EXPLAIN AST DROP TABLE agent_runs",
    # several statements
    "SELECT 1; DROP TABLE agent_runs",
    "SELECT 1;\n\nSELECT 2",
    "SELECT 1 /* x */; SET readonly = 0; SELECT 2",
    "SELECT 1\x00; DROP TABLE agent_runs",
    # the server's own state, other databases, secrets
    "SELECT * FROM system.processes",
    "SELECT * FROM system.users",
    "SELECT * FROM system.named_collections",
    "SELECT * FROM system.disks",
    "SELECT * FROM system.server_settings",
    "SELECT * FROM `system`.`processes`",
    "SELECT 1 IN system.processes",
    "SELECT 1 WHERE 'a' GLOBAL NOT IN system.users",
    "SELECT * FROM elsewhere.secrets",
    "SELECT 'a' IN elsewhere.secrets",
    "SELECT * FROM merge('elsewhere', '.*')",
    "SELECT * FROM merge(REGEXP('.*'), 'secrets')",
    "SELECT * FROM loop(elsewhere, secrets)",
    "SELECT * FROM dictionary('x')",
    "SELECT joinGet('elsewhere.secrets', 'a', 1)",
    "SELECT dictGet('elsewhere.d', 'a', 1)",
    "SELECT hasColumnInTable('elsewhere', 'secrets', 'a')",
    "SHOW TABLES FROM elsewhere",
    "SHOW CREATE TABLE elsewhere.secrets",
    "SHOW CREATE DATABASE elsewhere",
    "EXISTS TABLE elsewhere.secrets",
    "DESCRIBE TABLE elsewhere.secrets",
    "SHOW PROCESSLIST",
    "SHOW GRANTS",
    "SHOW CREATE USER default",
    "SELECT getSetting('max_threads')",
    "SELECT getServerSetting('x')",
    "SELECT getMacro('shard')",
    "SELECT getClientHTTPHeader('authorization')",
    "SELECT sleep(3)",
    "SELECT addressToLine(1)",
    "SELECT * FROM agent_content_file",
    # settings inside of the statement
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS max_execution_time = 100000",
    "SELECT 1 SETTINGS max_memory_usage = 0",
    "SELECT 1 SETTINGS max_result_rows = DEFAULT",
    "SELECT 1 FORMAT JSON SETTINGS max_threads = 64",
    "SELECT 1 SETTINGS output_format_schema = 'FILES/out.txt'",
    "SELECT 1 SETTINGS format_schema = 'FILES/out.txt'",
    "SELECT 1 SETTINGS dialect = 'kusto'",
    "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)",
    "SELECT 1 SETTINGS param_x = '1'",
    "SELECT 1 SETTINGS additional_result_filter = '1'",
    "SELECT 1 FORMAT Template",
    "SELECT 1 FORMAT Protobuf SETTINGS format_schema = 'x:y'",
    f"SELECT 1 SETTINGS additional_table_filters = {{'x': 'file(\\'{FILE}\\') = 1'}}",
    "SELECT 1 SETTINGS additional_table_filters = {'x': '1 IN elsewhere.secrets'}",
    "SELECT 1 SETTINGS additional_table_filters = {'x': '(SELECT 1 FROM elsewhere.secrets)'}",
    "SELECT 1 SETTINGS additional_table_filters = {'x': '1, 2'}",
    "SELECT 1 SETTINGS additional_table_filters = {'x': '1 FROM system.users'}",
    "SELECT 1 SETTINGS additional_table_filters = {'x': '1 INTO OUTFILE \\'FILES/out.txt\\''}",
]
PARAMETERS = [
    {"readonly": "0"},
    {"dialect": "prql"},
    {"allow_ddl": "1"},
    {"implicit_select": "1"},
    {"format_schema_path": "/"},
    {"output_format_schema": "FILES/out.txt"},
    {"user_files_path": "/"},
    {"max_execution_time": "-1"},
    {"max_result_rows": "nan"},
    {"max_threads = 1, readonly": "0"},
    {"param_x": "1", "x'y": "1"},
    {"database": "elsewhere"},
    {"database": "system`; DROP TABLE x"},
    {"default_format": "Template"},
    {"default_format": "CSV INTO OUTFILE 'FILES/out.txt'"},
    {"default_format": "DataFrame"},
    {"compress": "1"},
    {"additional_table_filters": f"{{'x': 'file(\\'{FILE}\\') = 1'}}"},
    {"additional_table_filters": "{'x': '1'}, readonly = 0"},
    {"additional_table_filters": "{'x': '1'} INTO OUTFILE 'FILES/out.txt'"},
    {"additional_table_filters": "'x'"},
    {"query": "SELECT 1;"},
]


class World:
    """A store with a neighbor, and a folder with a secret and nothing else."""

    def __init__(self, database: str, folder: Path) -> None:
        self.folder = folder
        self.database = database
        self.engine = Engine()
        self.engine.text("CREATE DATABASE elsewhere")
        self.engine.text("CREATE TABLE elsewhere.secrets ENGINE = Log AS SELECT 'c0ffee' AS a")
        self.reader = QueryReader(self.engine, database, QueryLimits(secs_max=5))
        (folder / "secret.txt").write_text(SECRET + "\n")
        self.before = self.state()

    def state(self) -> str:
        """What would change if something was written anywhere."""
        files = sorted(str(path) for path in self.folder.rglob("*"))
        tables = self.engine.text(
            "SELECT database, name, total_rows FROM system.tables"
            f" WHERE database IN ('{self.database}', 'elsewhere') ORDER BY ALL"
        )
        databases = self.engine.text("SHOW DATABASES")
        functions = self.engine.text("SELECT count() FROM system.functions")
        return f"{files}\n{tables}\n{databases}\n{functions}"

    def ask(self, sql: str) -> bytes:
        query = read_http_query(
            "POST", "", {}, sql.replace("FILES", str(self.folder)).encode(), compresses=True
        )  # fmt: skip
        return self.reader.run(query, new_token()).answer.body

    def ask_with(self, sql: str, parameters: dict[str, str]) -> bytes:
        given = {key: value.replace("FILES", str(self.folder)) for key, value in parameters.items()}
        query = read_http_query("POST", urlencode(given), {}, sql.encode(), compresses=True)
        return self.reader.run(query, new_token()).answer.body


@pytest.fixture(scope="module")
def world(store_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:  # noqa: F811
    made = World(store_database, tmp_path_factory.mktemp("outside"))
    yield made
    made.engine.text("DROP DATABASE elsewhere SYNC")
    made.engine.close()


@pytest.mark.parametrize("sql", STATEMENTS)
def test_a_statement_that_reaches_out_is_refused(world: World, sql: str) -> None:
    """Refused by name before it runs; the answer holds nothing of what it aimed at."""
    with pytest.raises(ServerError) as raised:
        world.ask(sql)

    assert raised.value.name in DENIED + NONE, raised.value
    assert "c0ffee" not in str(raised.value)
    assert world.state() == world.before


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_a_parameter_that_reaches_out_is_refused(world: World, parameters: dict[str, str]) -> None:
    """Settings are a closed list, formats too, and no value ends its place in a statement."""
    with pytest.raises(ServerError) as raised:
        world.ask_with("SELECT 1", parameters)

    assert raised.value.status >= 400
    assert "c0ffee" not in str(raised.value)
    assert world.state() == world.before


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT * FROM {t:Identifier}", {"t": "system.processes"}),
        ("SELECT * FROM {d:Identifier}.{t:Identifier}", {"d": "elsewhere", "t": "secrets"}),
        ("SELECT * FROM {d:Identifier}.processes", {"d": "system"}),
        ("SELECT 1 IN {t:Identifier}", {"t": "system.users"}),
        ("SELECT * FROM {t:Identifier}", {"t": "numbers(1)"}),
        ("SELECT * FROM {t:Identifier}", {"t": "x`, file('y')"}),
        ("SELECT * FROM {t:Identifier}", {}),
    ],
)
def test_a_name_by_parameter_is_judged_by_its_value(
    world: World, sql: str, parameters: dict[str, str]
) -> None:
    """The tree holds the parameter's name only; its value decides what is read."""
    with pytest.raises(ServerError):
        world.ask_with(sql, {f"param_{name}": value for name, value in parameters.items()})


def test_a_common_table_never_stands_in_for_a_hidden_one(world: World) -> None:
    """Its name is known only inside its own scope; outside it would be the real table."""
    sql = "SELECT * FROM processes, (WITH processes AS (SELECT 1) SELECT * FROM processes)"
    with pytest.raises(ServerError, match=r"system\.processes"):
        world.ask_with(sql, {"database": "system"})


def test_what_looks_like_a_command_of_the_engine_is_text(world: World) -> None:
    """chDB obeys a line `\\i file`, also inside of a literal: no such line reaches it."""
    command = f"\\i {world.folder}/secret.txt"

    assert SECRET not in world.ask(f"SELECT '\n{command}\n'").decode()
    assert world.ask(f"/*\n{command}\n*/ SELECT 7") == b"7\n"
    assert world.ask(f"SELECT 8 --\n-- {command}\n") == b"8\n"


def test_statements_of_readers_are_answered(world: World) -> None:
    """The other side: what dashboards and drivers send passes."""
    for sql, expected in (
        ("SELECT count() FROM agent_runs", b"0\n"),
        (f"SELECT count() FROM {world.database}.runs", b"0\n"),
        ("WITH x AS (SELECT 1 AS a) SELECT a FROM x", b"1\n"),
        ("SELECT 1 WHERE 'a' IN (SELECT RunId FROM agent_runs)", b""),
        ("SELECT 'a' IN ('a', 'b')", b"1\n"),
        ("EXISTS TABLE agent_runs", b"1\n"),
        ("EXISTS TABLE nothing_like_it", b"0\n"),
        ("SELECT sumIf(number, number > 1), quantileTDigest(0.5)(number) FROM numbers(4)", b"5\t1"),
        ("SELECT CASE WHEN 1 THEN 'a' ELSE 'b' END, [1][1], (1, 2).2, CAST('1' AS Int8)", b"a\t1"),
        ("SELECT 1 SETTINGS max_execution_time = 2, max_threads = 1;", b"1\n"),
        ("SELECT 1 FORMAT JSONCompactEachRow", b"[1]\n"),
        ("SELECT version() LIKE '2%', currentDatabase() != ''", b"1\t1\n"),
        ("SELECT count() > 0 FROM system.columns WHERE table = 'agent_runs'", b"1\n"),
        ("SELECT count() > 0 FROM information_schema.tables", b"1\n"),
    ):
        assert world.ask(sql).startswith(expected), sql
