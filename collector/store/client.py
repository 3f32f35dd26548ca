"""One way to talk to ClickHouse: a server over HTTP, or chDB inside this process.

`clickhouse-connect` is the only client.  A chDB client is one lock, so queries that are to run at
the same time need a client each; inserts have their own, so that a long query never delays them.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.client import Client

from collector.errors import StoreError
from collector.store.failures import store_error
from collector.store.url import StoreUrl, parse_url

IDS_MAX: Final = 5_000
"""Ids in one statement; more of them become several."""
CLIENTS_MAX: Final = 8
"""Queries at the same time; further ones wait for a client."""
CLOSE_SECS: Final = 1.0
"""How long closing waits for an insert: one that hangs ends with its timeout, by itself."""

SETTINGS: Final[Mapping[str, Any]] = {
    "async_insert": 0,  # 1 by default since 26.x: 63 ms per thousand rows for batches like ours
    "optimize_on_insert": 0,  # the collector drops duplicates itself; merges and FINAL do the rest
    "do_not_merge_across_partitions_select_final": 1,  # keys never cross partitions
    "output_format_arrow_compression_method": "none",
    "max_query_size": 16 << 20,  # thousands of ids in one statement
}
CLUSTER_SETTINGS: Final[Mapping[str, Any]] = {
    "distributed_foreground_insert": 1,  # acknowledged means stored, not queued on one node
    "optimize_skip_unused_shards": 1,
}
FSYNC: Final[Mapping[str, Any]] = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "min_rows_to_fsync_after_merge": 1,
}
"""Table settings of an embedded store: what is stored survives power loss, so that the journal may
drop it."""
EMBEDDED: Final[Mapping[str, Any]] = {
    **FSYNC,
    "old_parts_lifetime": 1,  # seconds; erased text must leave the disk soon, not in minutes
    "cleanup_delay_period": 1,
    "max_cleanup_delay_period": 1,
    "cleanup_delay_period_random_add": 0,
    "finished_mutations_to_keep": 0,  # their text names what was erased
}


class Store:
    """A pool of clients to one database.  Safe in any thread; every error is a StoreError."""

    def __init__(
        self, url: StoreUrl, *, database: str, cluster: str | None, settings: Mapping[str, Any]
    ) -> None:
        """Use `Store.open`."""
        self.url = url
        self.database = database
        self.cluster = cluster
        self._settings = {**SETTINGS, **(CLUSTER_SETTINGS if cluster else {}), **settings}
        self._idle: queue.LifoQueue[Client] = queue.LifoQueue()
        self._permits = threading.BoundedSemaphore(CLIENTS_MAX)
        self._insert_lock = threading.Lock()
        self._insert_client: Client | None = None
        self._closed = False

    @classmethod
    def open(
        cls,
        url: str,
        *,
        database: str = "agentrun",
        cluster: str | None = None,
        settings: Mapping[str, Any] | None = None,
        timeout_secs: float | None = None,
    ) -> Store:
        """Connect, creating `database` if needed.

        `url` is `chdb:///path`, `chdb://:memory:` or `clickhouse[s]://user:password@host:port/db`;
        a database in the URL wins.  `cluster` is the name for ON CLUSTER and Distributed tables.
        `timeout_secs`: how long a server may say nothing, in whole seconds (the client's unit); a
        `send_receive_timeout` in the URL wins.  Raises StoreError with a hint, ConfigError for a
        URL that is none.
        """
        parsed = parse_url(url)
        if timeout_secs is not None and "send_receive_timeout=" not in url and not parsed.embedded:
            patience = {"send_receive_timeout": max(1, math.ceil(timeout_secs))}
            parsed = replace(parsed, arguments={**parsed.arguments, **patience})
        merged = {**parsed.settings, **(settings or {})}
        store = cls(parsed, database=parsed.database or database, cluster=cluster, settings=merged)
        try:
            store._create_database()
        except BaseException:
            store.close()
            raise
        return store

    @property
    def embedded(self) -> bool:
        return self.url.embedded

    def close(self) -> None:
        """Close idle clients; those at work close when they come back."""
        self._closed = True
        if self._insert_lock.acquire(timeout=-1 if self.embedded else CLOSE_SECS):
            if self._insert_client is not None:
                self._insert_client.close()
                self._insert_client = None
            self._insert_lock.release()
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Rows as dictionaries; for small results.  `%(name)s` in `sql` is a quoted parameter.
        Times are datetimes, cut to microseconds: `arrow` gives all of them."""
        rows: list[dict[str, Any]] = _microseconds(self.arrow(sql, parameters)).to_pylist()
        return rows

    def column(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """The values of the first column."""
        values: list[Any] = _microseconds(self.arrow(sql, parameters)).column(0).to_pylist()
        return values

    def arrow(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        with self._client() as client:
            body = client.raw_query(sql, parameters=_sequences(parameters), fmt="ArrowStream")
        if not body:  # chDB sends nothing at all where there is no row
            return pa.table({})
        return pa.ipc.open_stream(pa.py_buffer(body)).read_all()

    def command(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a statement that is not an INSERT of data; its first value, if it has one."""
        with self._client() as client:
            return client.command(
                sql, parameters=_sequences(parameters), settings=dict(settings or {})
            )

    # Writing

    def insert_arrow(self, table: str, data: pa.Table | pa.RecordBatch) -> None:
        """Insert all of `data` as one block.  Raises StoreError; nothing is stored in part, except
        that a block over several partitions becomes one part each."""
        if data.num_rows == 0:
            return
        with self._insert_lock, self._errors():
            if self._insert_client is None:
                self._insert_client = self._connect(self.database)
            if self.embedded and hasattr(os, "memfd_create"):
                self._insert_from_memory(self._insert_client, table, data)
            else:
                # Buffers are compressed for the network; the server undoes it while parsing.
                compression = None if self.embedded else "lz4"
                sink = pa.BufferOutputStream()
                _write_stream(sink, data, compression)
                self._insert_client.raw_insert(
                    f"{_quoted(table)}",
                    data.schema.names,
                    sink.getvalue().to_pybytes(),
                    fmt="ArrowStream",
                )

    def _insert_from_memory(self, client: Client, table: str, data: Any) -> None:
        """As `raw_insert` of an embedded client does, but without its temporary file on disk, which
        a `kill -9` would leave behind with people's text in it."""
        descriptor = os.memfd_create("agentrun-insert", os.MFD_CLOEXEC)
        try:
            with pa.OSFile(f"/proc/self/fd/{descriptor}", "wb") as sink:
                _write_stream(sink, data, None)
            columns = ", ".join(map(_quoted, data.schema.names))
            client.command(
                f"INSERT INTO {_quoted(table)} ({columns}) "
                f"FROM INFILE '/proc/self/fd/{descriptor}' FORMAT ArrowStream"
            )
        finally:
            os.close(descriptor)

    # Connections

    @contextlib.contextmanager
    def _client(self) -> Iterator[Client]:
        with self._permits, self._errors():
            try:
                client = self._idle.get_nowait()
            except queue.Empty:
                client = self._connect(self.database)
            try:
                yield client
            finally:
                if self._closed:
                    client.close()
                else:
                    self._idle.put(client)

    def _connect(self, database: str | None) -> Client:
        if self._closed:
            raise StoreError(f"the store {self.url} is closed")
        # ClickHouse renders times in the zone of its host; an embedded one in that of this process.
        if self.embedded and os.environ.get("TZ") != "UTC":
            os.environ["TZ"] = "UTC"
            time.tzset()
        client: Client = clickhouse_connect.get_client(
            **self.url.arguments, settings=self._settings
        )
        # Not as an argument: the first queries of a connection fail where it does not exist yet.
        if database:
            client.database = database
        return client

    def _create_database(self) -> None:
        with self._errors():
            client = self._connect(None)
            try:
                exists = client.command(f"EXISTS DATABASE {_quoted(self.database)}")
                if int(str(exists)) == 0:
                    on_cluster = f" ON CLUSTER '{self.cluster}'" if self.cluster else ""
                    client.command(
                        f"CREATE DATABASE IF NOT EXISTS {_quoted(self.database)}{on_cluster}"
                    )
                client.database = self.database
            except BaseException:
                client.close()
                raise
            # Kept: a store in memory lives as long as some client of it.
            self._idle.put(client)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            raise store_error(error, self.url) from error


def _microseconds(table: pa.Table) -> pa.Table:
    """Without pandas, pyarrow makes no Python value of a time with nanoseconds."""
    for at, field in enumerate(table.schema):
        is_list = pa.types.is_list(field.type)
        kind = field.type.value_type if is_list else field.type
        if pa.types.is_timestamp(kind) and kind.unit == "ns":
            kind = pa.timestamp("us", kind.tz)
            kind = pa.list_(kind) if is_list else kind
            table = table.set_column(at, field.name, table.column(at).cast(kind, safe=False))
    return table


def _write_stream(sink: Any, data: pa.Table | pa.RecordBatch, compression: str | None) -> None:
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, data.schema, options=options) as writer:
        writer.write(data)


def _quoted(name: str) -> str:
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"


def _sequences(parameters: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A list is an array in SQL; tuples and sets are what follows IN, where none is not valid."""
    if parameters is None:
        return None
    return {
        name: (tuple(value) or ("",)) if isinstance(value, tuple | set | frozenset) else value
        for name, value in parameters.items()
    }


def chunks(ids: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Distinct ids, at most `IDS_MAX` at a time; none for none."""
    distinct = sorted(set(ids))
    for start in range(0, len(distinct), IDS_MAX):
        yield tuple(distinct[start : start + IDS_MAX])
