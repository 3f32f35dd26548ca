"""What the command line runs in its own process.  Each command imports what it needs, when it does:
the store and the collector take a moment to load."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from collector.api.health import Finding, Status
from collector.api.service import Operations
from collector.api.values import Document
from collector.config.values import masked
from collector.errors import ConfigError

if TYPE_CHECKING:
    from collector.config import Config
    from collector.store.schema import Retention


class InProcess:
    """The real `Backend` (`collector.cli.session`)."""

    def up(self, config: Path | None, data_dir: Path | None, store: str) -> None:
        from collector.app import serve

        serve(_load(config, data_dir, store))

    def demo(self, data_dir: Path | None, *, once: bool, json: bool) -> None:
        from collector.demo.live import demo

        demo(_load(None, data_dir, ""), once=once, json=json)

    def ingest(
        self, files: Sequence[Path], store: str, progress: Callable[[int, int], None]
    ) -> Document:
        from collector.ingest import ingest

        return ingest(_load(None, None, store), files, progress=progress)

    def explain(self, config: Path | None, file: Path) -> Document:
        from collector.explain import explain_file

        return explain_file(_load(config, None, ""), file)

    def operations(self, store: str) -> AbstractContextManager[Operations]:
        from collector.app import operations

        return operations(_load(None, None, store))

    def schema(self, cluster: str) -> str:
        from collector.store.schema import render

        config = _load(None, None, "")
        return render(cluster or config.store.cluster or None, _retention(config))

    def apply_schema(self, store: str, cluster: str) -> Sequence[str]:
        from collector.store.client import Store
        from collector.store.schema import apply

        config = _load(None, None, store, cluster)
        with Store.open(
            config.store.url,
            database=config.store.database,
            cluster=config.store.cluster or None,
        ) as opened:
            return apply(opened, _retention(config))

    def migrate(
        self,
        source: str,
        target: str,
        *,
        cluster: str,
        since_secs: int | None,
        dry_run: bool,
        block_rows: int,
        progress: Callable[[str, int, int], None],
    ) -> Document:
        from collector.migrate.ends import opened
        from collector.migrate.migration import Plan, migrate

        config = _load(None, None, "")
        plan = Plan(
            now_secs=int(time.time()),
            since_secs=since_secs,
            dry_run=dry_run,
            block_rows=block_rows,
        )
        with opened(
            source,
            target,
            database=config.store.database,
            cluster=cluster or None,
        ) as (read, written):
            found = migrate(read, written, plan, progress)
        return {
            "from": masked(source),
            "to": masked(target),
            "dry_run": dry_run,
            "verified": all(table.well for table in found),
            "tables": [table.document() for table in found],
        }

    def examine(self, config: Path | None, data_dir: Path | None, store: str) -> list[Document]:
        from collector.cli.doctor import examine

        try:
            loaded = _load(config, data_dir, store)
        except ConfigError as error:  # the other checks need the configuration
            hint = "Repair the config; every problem is listed."
            found = Finding(check="config", status=Status.FAIL, message=str(error), hint=hint)
            return [found.document()]

        def open_store() -> AbstractContextManager[Operations]:
            from collector.app import operations

            return operations(loaded)

        found = Finding(check="config", status=Status.OK, message="read without problems")
        return [
            found.document(),
            *examine(ports=_ports(loaded), data_dir=loaded.data_dir, open_store=open_store),
        ]


def _load(config: Path | None, data_dir: Path | None, store: str, cluster: str = "") -> Config:
    """Raises ConfigError with every problem of file, environment and options."""
    from collector.config import default_path, load

    options = {
        "data_dir": "" if data_dir is None else str(data_dir),
        "store.url": store,
        "store.cluster": cluster,
    }
    return load(
        config or default_path(os.environ),
        os.environ,
        {key: value for key, value in options.items() if value},
    )


def _ports(config: Config) -> dict[str, tuple[str, int]]:
    return {
        "OTLP/gRPC": (config.receiver.grpc.host, config.receiver.grpc.port),
        "OTLP/HTTP": (config.receiver.http.host, config.receiver.http.port),
        "API": (config.api.host, config.api.port),
    }


def _retention(config: Config) -> Retention:
    """Without it, applying the schema would put other retention times in force than configured."""
    from collector.settings import retention

    return retention(config)
