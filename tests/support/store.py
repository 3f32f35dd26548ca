"""Stores for tests, and small builders of what goes into them.

chDB holds one engine and one path per process, so that all embedded stores of a session share a
folder.  Import what a module needs, with what it needs itself:
`from tests.support.store import store, store_database, store_engine, store_path  # noqa: F401`.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest

from collector.model import LOGS, SPANS
from collector.runs.run import PlacedStep, Run
from collector.store import schema
from collector.store.client import Store
from otel_agentrun.step import Kind, Step

NUMBERS: Final = itertools.count(1)
START: Final = 1_795_000_000_000_000_000
"""2026-11-18T10:26:40Z, in nanoseconds."""
SECOND: Final = 1_000_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
SPAN: Final = "b7ad6b7169203331"


FOLDER: Final[list[Path]] = []
"""Of this process: each module that imports a fixture has one of its own, whatever its scope."""


@pytest.fixture(scope="session")
def store_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of every embedded store of this process."""
    if not FOLDER:
        FOLDER.append(tmp_path_factory.mktemp("store"))
    return FOLDER[0]


@pytest.fixture(scope="module")
def store_engine(store_path: Path) -> Iterator[str]:
    """The URL of the session's folder; the engine stays open while a module's tests run."""
    url = f"chdb://{store_path}"
    with Store.open(url, database="default"):
        yield url


@pytest.fixture(scope="module")
def store_database(store_engine: str) -> Iterator[str]:
    """A database with the newest schema, for the tests of one module: making it takes half a
    second."""
    name = f"store_{os.getpid()}_{next(NUMBERS)}"
    with Store.open(store_engine, database=name) as opened:
        schema.apply(opened)
    yield name
    with Store.open(store_engine, database=name) as opened:
        opened.command(f"DROP DATABASE {name} SYNC")


@pytest.fixture
def store(store_engine: str, store_database: str) -> Iterator[Store]:
    """An empty embedded store; what a test writes is removed afterwards."""
    with Store.open(store_engine, database=store_database) as opened:
        yield opened
        for table in opened.column(
            "SELECT DISTINCT table FROM system.parts"
            " WHERE database = currentDatabase() AND table != 'schema_migrations'"
        ):
            opened.command(f"TRUNCATE TABLE {table} SYNC")


@pytest.fixture
def fresh_store(store_engine: str) -> Iterator[Store]:
    """A store of its own for a test that changes the schema."""
    name = f"store_{os.getpid()}_{next(NUMBERS)}"
    with Store.open(store_engine, database=name) as opened:
        schema.apply(opened)
        yield opened
        opened.command(f"DROP DATABASE {name} SYNC")


def a_step(**values: Any) -> Step:
    given: dict[str, Any] = {
        "trace_id": TRACE,
        "span_id": SPAN,
        "kind": Kind.MODEL,
        "start_ns": START,
        "end_ns": START + SECOND,
    }
    return Step(**(given | values))


def a_placed(step: Step | None = None, **values: Any) -> PlacedStep:
    step = step or a_step()
    given: dict[str, Any] = {"run_id": step.trace_id, "group_id": step.trace_id, "revision": 1}
    return PlacedStep(step=step, **(given | values))


def a_run(run_id: str = TRACE, **values: Any) -> Run:
    given: dict[str, Any] = {
        "group_id": run_id,
        "root_run_id": run_id,
        "trace_ids": (run_id,),
        "started_at_ns": START,
        "revision": 1,
    }
    return Run(run_id=run_id, **(given | values))


def spans(*rows: Mapping[str, Any]) -> pa.RecordBatch:
    """A SPANS batch; what a row does not say is empty."""
    given = [{"Timestamp": START, "TraceId": TRACE, "SpanId": SPAN, **row} for row in rows]
    return _batch(given, SPANS)


def logs(*rows: Mapping[str, Any]) -> pa.RecordBatch:
    """A LOGS batch; what a row does not say is empty."""
    given = [
        {"Timestamp": START, "TraceId": TRACE, "SpanId": SPAN, "RecordId": number, **row}
        for number, row in enumerate(rows)
    ]
    return _batch(given, LOGS)


def _batch(rows: Sequence[Mapping[str, Any]], fields: pa.Schema) -> pa.RecordBatch:
    columns = []
    for field in fields:
        values = [row.get(field.name, _empty(field.type)) for row in rows]
        if pa.types.is_map(field.type):
            values = [list(dict(value).items()) for value in values]
        elif "Attributes" in field.name and pa.types.is_list(field.type):
            values = [[list(entry.items()) for entry in value] for value in values]
        columns.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=fields)


def _empty(type_: pa.DataType) -> Any:
    if pa.types.is_timestamp(type_):
        return time.time_ns()  # ReceivedAt: retention counts from it
    if pa.types.is_nested(type_):
        return ()
    return "" if pa.types.is_string(type_) else 0
