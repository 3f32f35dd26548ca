"""The collector's store on a ClickHouse server: the same code as embedded; every fault survived.

Promise 1 and 2: what was not acknowledged by the store is written again, and nothing is doubled.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pyarrow as pa
import pytest

from collector.errors import StoreError
from collector.model import SPANS
from collector.runs.run import DeadLetter, PlacedStep
from collector.store import failures, schema
from collector.store.client import Store
from collector.store.link import StoreLink
from collector.store.reader import Reader
from collector.store.schema import Retention
from collector.store.writer import Flush, Writer
from tests.runs.builders import BASE_NS, TRACE, a_step
from tests.support.clickhouse_faults import (
    DOWN,
    HANG,
    HEALTHY,
    MEMORY_LIMIT,
    OUT_OF_DISK,
    READ_ONLY,
    TOO_MANY_PARTS,
    Faults,
)
from tests.support.clickhouse_fixtures import Database, database
from tests.support.clickhouse_http import PASSWORD, ClickHouseDouble

TABLES = ("otel_traces", "agent_steps", "dead_letters")


@pytest.fixture(scope="module")
def migrated(clickhouse_server: ClickHouseDouble) -> Iterator[Database]:
    """Applying the schema takes longer than most tests here, so they share it."""
    with database(clickhouse_server) as one:
        with Store.open(one.url) as store:
            schema.apply(store)
        yield one


@pytest.fixture
def stored(migrated: Database) -> Database:
    """With the schema and without rows."""
    for table in (*TABLES, "otel_traces_trace_id_ts"):
        migrated.execute(f"TRUNCATE TABLE {table} SYNC")
    return migrated


@pytest.fixture
def store(stored: Database) -> Iterator[Store]:
    with Store.open(stored.url) as store:
        yield store
    stored.inject(HEALTHY)


def a_span(number: int, **values: object) -> dict[str, object]:
    empty: dict[str, object] = {
        name: [] if pa.types.is_nested(kind) else 0 if pa.types.is_integer(kind) else ""
        for name, kind in zip(SPANS.names, SPANS.types, strict=True)
    }
    times = {
        "Timestamp": BASE_NS + number,
        "ReceivedAt": time.time_ns(),
    }  # retention counts from it
    ids = {"TraceId": TRACE, "SpanId": f"{number:016x}"}
    return empty | times | ids | values


def a_flush(*numbers: int, **values: object) -> Flush:
    """Three tables' worth: a span, a step and a dead letter for each number."""
    letters = [
        DeadLetter(
            at_ns=BASE_NS,
            signal="traces",
            reason="malformed",
            error="",
            peer="",
            size_bytes=1,
            sha256=f"{number}",
        )
        for number in numbers
    ]
    rows = [a_span(number, **values) for number in numbers]
    return Flush(
        spans=[pa.RecordBatch.from_pylist(rows, SPANS)],
        steps=[
            PlacedStep(step=a_step(number), run_id=TRACE, group_id=TRACE, revision=1)
            for number in numbers
        ],
        dead_letters=letters,
    )


def counts(clickhouse: Database) -> dict[str, int]:
    """What a reader sees of each table."""
    return {
        table: int(clickhouse.execute(f"SELECT count() FROM {table} FINAL")) for table in TABLES
    }


def test_migrations_go_up_once_and_down_again(clickhouse: Database) -> None:
    """Through HTTP as embedded; a second `apply` changes nothing."""
    with Store.open(clickhouse.url) as store:
        names = schema.apply(store)
        assert names == [migration.name for migration in schema.migrations()]
        assert schema.apply(store) == []
        schema.apply(store, Retention(traces_days=7))
        assert "toIntervalDay(7)" in clickhouse.execute("SHOW CREATE TABLE otel_traces")
        assert schema.rollback(store, 0) == list(reversed(names))
        tables = clickhouse.execute("SHOW TABLES").split()

    assert tables == ["schema_migrations"]


def test_a_flush_is_read_back_and_a_repeated_one_counts_once(
    stored: Database, store: Store
) -> None:
    writer, reader = Writer(store, writer_id=1), Reader(store)
    for _ in range(2):
        writer.write(a_flush(1, 2, 3))
    writer.canary(1)

    steps, events, runs = reader.load_group([TRACE])
    assert [placed.step for placed in steps] == [a_step(1), a_step(2), a_step(3)]
    assert (events, runs) == ([], [])
    assert counts(stored) == dict.fromkeys(TABLES, 3)
    assert reader.known_traces([TRACE, "f" * 32]) == {TRACE}
    assert reader.traces_of_others([TRACE], 1) == set()
    assert reader.traces_of_others([TRACE], 2) == {TRACE}


def test_our_settings_go_with_every_insert(stored: Database, store: Store) -> None:
    """Batches of ours are not to be collected by the server, and no session pins a replica."""
    before = len(stored.seen())
    Writer(store).write(a_flush(1))

    inserts = [
        one for one in stored.seen()[before:] if one.sql.startswith("INSERT INTO `otel_traces`")
    ]
    assert [one.rows for one in inserts] == [1]
    assert inserts[0].settings["async_insert"] == "0"


@pytest.mark.parametrize(
    ("faults", "hint", "permanent"),
    [
        (DOWN, failures.REFUSED_HINT, False),
        (READ_ONLY, failures.READ_ONLY_HINT, False),
        (OUT_OF_DISK, failures.DISK_HINT, False),
        (TOO_MANY_PARTS, failures.BUSY_HINT, False),
        (MEMORY_LIMIT, failures.BUSY_HINT, False),
        (Faults(refuse_inserts=209), failures.TIMEOUT_HINT, False),
        (Faults(refuse_inserts=516), failures.AUTHENTICATION_HINT, False),
        (Faults(every_insert=1, insert_fault="error"), failures.CLUSTER_HINT, False),
        (Faults(every_insert=1, insert_fault="reset"), failures.REFUSED_HINT, False),
        (Faults(every_insert=1, insert_fault="answer_lost"), failures.REFUSED_HINT, False),
        (Faults(every_insert=4, insert_fault="error"), failures.CLUSTER_HINT, False),
        (Faults(refuse_inserts=243, only="agent_steps"), failures.DISK_HINT, False),
        (Faults(poison="poison", poison_code=53), "", True),
        (Faults(poison="poison", poison_code=117), "", True),
        (Faults(gateway_status=502), None, False),
    ],
)
def test_a_failed_flush_says_what_to_do_and_is_written_later(
    stored: Database, store: Store, faults: Faults, hint: str | None, permanent: bool
) -> None:
    """StoreError with a hint; `permanent` only where the rows are to blame.  After the fault the
    same flush is stored once, wherever it had got to.  No message shows the password."""
    writer = Writer(store)
    flush = a_flush(1, 2, SpanName="poison")
    with stored.broken(faults), pytest.raises(StoreError) as caught:
        writer.write(flush)
    writer.write(flush)

    assert caught.value.permanent is permanent
    assert hint is None or caught.value.hint == hint
    assert PASSWORD not in str(caught.value)
    assert counts(stored) == dict.fromkeys(TABLES, 2)


@pytest.mark.parametrize("every", [2, 3])
def test_answers_that_get_lost_double_nothing(stored: Database, store: Store, every: int) -> None:
    """Inserts are stored, their answers vanish: the client or the collector sends them again."""
    writer = Writer(store)
    before = len(stored.seen())
    with stored.broken(Faults(every_insert=every, insert_fault="answer_lost")):
        for number in range(4):
            for _ in range(5):
                try:
                    writer.write(a_flush(number))
                except StoreError:
                    continue
                break

    lost = [one for one in stored.seen()[before:] if not one.answered]
    assert lost
    assert all(one.rows for one in lost)
    assert counts(stored) == dict.fromkeys(TABLES, 4)


def test_a_missing_column_is_named_and_writing_resumes_when_it_is_back(
    stored: Database, store: Store
) -> None:
    column = stored.execute(
        "SELECT type FROM system.columns WHERE database = currentDatabase()"
        " AND table = 'otel_traces' AND name = 'TraceState'"
    )
    stored.execute("ALTER TABLE otel_traces DROP COLUMN TraceState")
    with pytest.raises(StoreError, match="TraceState") as caught:
        Writer(store).write(a_flush(1))
    stored.execute(f"ALTER TABLE otel_traces ADD COLUMN TraceState {column}")
    Writer(store).write(a_flush(1))

    assert caught.value.hint == failures.SCHEMA_HINT
    assert not caught.value.permanent
    assert counts(stored) == dict.fromkeys(TABLES, 1)


def test_a_missing_table_is_named(stored: Database, store: Store) -> None:
    stored.execute("RENAME TABLE dead_letters TO elsewhere")
    try:
        with pytest.raises(StoreError, match="dead_letters") as caught:
            Writer(store).write(a_flush(1))
    finally:
        stored.execute("RENAME TABLE elsewhere TO dead_letters")

    assert caught.value.hint == failures.SCHEMA_HINT
    assert not caught.value.permanent


def test_a_server_that_hangs_is_given_up(clickhouse: Database) -> None:
    """After the store's own timeout, and the store works again afterwards."""
    with Store.open(clickhouse.url + "?send_receive_timeout=1") as store:
        schema.apply(store)
        with clickhouse.broken(HANG), pytest.raises(StoreError) as caught:
            Writer(store).write(a_flush(1))
        Writer(store).write(a_flush(1))

    assert caught.value.hint
    assert not caught.value.permanent
    assert counts(clickhouse) == dict.fromkeys(TABLES, 1)


def test_half_an_answer_is_no_answer(stored: Database, store: Store) -> None:
    """A reader gets all rows or a StoreError."""
    Writer(store).write(a_flush(*range(1, 50)))
    with stored.broken(Faults(cut_answers=True)), pytest.raises(StoreError) as caught:
        Reader(store).load_group([TRACE])

    assert not caught.value.permanent
    assert len(Reader(store).load_group([TRACE])[0]) == 49


def test_wrong_credentials_say_so_without_showing_them(clickhouse: Database) -> None:
    url = clickhouse.server.url(clickhouse.name, password="wrong-secret")
    with pytest.raises(StoreError) as caught:
        Store.open(url)

    assert caught.value.hint == failures.AUTHENTICATION_HINT
    assert "wrong-secret" not in str(caught.value)


def test_a_store_that_comes_up_later_is_found(clickhouse: Database) -> None:
    """The collector starts while ClickHouse is down; the schema is applied once it is there."""
    link = StoreLink(lambda: Store.open(clickhouse.url), Retention())
    clickhouse.inject(DOWN)
    with pytest.raises(StoreError) as caught:
        link.get()
    clickhouse.inject(HEALTHY)
    Writer(link.get()).write(a_flush(1))
    link.close()

    assert caught.value.hint == failures.REFUSED_HINT
    assert counts(clickhouse) == dict.fromkeys(TABLES, 1)
