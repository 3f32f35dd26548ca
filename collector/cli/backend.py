"""What the command line runs in its own process.  Each command imports what it needs, when it does:
the store and the collector take a moment to load."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from collector.api.health import Finding, Status
from collector.api.service import Document, Operations
from collector.errors import ConfigError

if TYPE_CHECKING:
    from collector.config import Config


class InProcess:
    """The real `Backend` (`collector.cli.session`)."""

    def up(self, config: Path | None, data_dir: Path | None, store: str) -> None:
        from collector.app import serve

        serve(_load(config, data_dir, store))

    def demo(self, data_dir: Path | None, *, once: bool, json: bool) -> None:
        from collector.app import demo

        demo(_load(None, data_dir, ""), once=once, json=json)

    def ingest(
        self, files: Sequence[Path], store: str, progress: Callable[[int, int], None]
    ) -> Document:
        from collector.app import ingest

        return ingest(_load(None, None, store), files, progress=progress)

    def operations(self, store: str) -> AbstractContextManager[Operations]:
        from collector.app import operations

        return operations(_load(None, None, store))

    def schema(self, cluster: str) -> str:
        from collector.store.schema import render

        return render(cluster or None)

    def apply_schema(self, store: str, cluster: str) -> Sequence[str]:
        from collector.store.client import Store
        from collector.store.schema import apply

        loaded = _load(None, None, store)
        with Store.open(loaded.store.url, cluster=cluster or None) as opened:
            return apply(opened, loaded.store.retention)

    def examine(self, config: Path | None, data_dir: Path | None, store: str) -> list[Document]:
        from collector.app import operations
        from collector.cli.doctor import examine

        try:
            loaded = _load(config, data_dir, store)
        except ConfigError as error:  # the other checks need the configuration
            hint = "Repair the config; every problem is listed."
            found = Finding(check="config", status=Status.FAIL, message=str(error), hint=hint)
            return [found.document()]
        found = Finding(check="config", status=Status.OK, message="read without problems")
        return [
            found.document(),
            *examine(
                ports=loaded.ports,
                data_dir=loaded.data_dir,
                open_store=lambda: operations(loaded),
            ),
        ]


def _load(config: Path | None, data_dir: Path | None, store: str) -> Config:
    """Raises ConfigError with every problem of file, environment and options."""
    from collector.config import load

    overrides: dict[str, str] = {}
    if data_dir is not None:
        overrides["data_dir"] = str(data_dir)
    if store:
        overrides["store.url"] = store
    return load(config, os.environ, overrides)
