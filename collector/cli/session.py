"""What every command needs: where the runs are, how to reach them, and how failures are said."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import click

from collector.api.remote import RemoteOperations, UnreachableError
from collector.api.service import Operations
from collector.api.values import Document, RequestError
from collector.errors import ConfigError, PermanentError, RetryableError, StoreError

COLLECTOR: Final = "http://127.0.0.1:4319"
FAILED: Final = 1
USAGE: Final = 2

F = TypeVar("F", bound=Callable[..., Any])


class Backend(Protocol):
    """What the command line starts in its own process (`collector.cli.backend`)."""

    def up(self, config: Path | None, data_dir: Path | None, store: str) -> None:
        """Run a collector until it is told to stop."""

    def demo(self, data_dir: Path | None, *, once: bool, json: bool) -> None:
        """Run a collector and the demo agents against it."""

    def ingest(
        self, files: Sequence[Path], store: str, progress: Callable[[int, int], None]
    ) -> Document:
        """`{"signals": terms by signal, "runs": number}`; `progress(done, total)` in bytes."""

    def explain(self, config: Path | None, file: Path) -> Document:
        """`{"runs": explained runs, "outside": spans in no run}` of an OTLP file."""

    def operations(self, store: str) -> AbstractContextManager[Operations]:
        """Work on a store without a collector."""

    def schema(self, cluster: str) -> str:
        """SQL of all migrations; "" is a single server."""

    def apply_schema(self, store: str, cluster: str) -> Sequence[str]:
        """Names of the migrations that were applied."""

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
        """`{"verified": bool, "tables": [...]}`; `progress(table, rows done, rows in all)`."""

    def examine(self, config: Path | None, data_dir: Path | None, store: str) -> list[Document]:
        """Findings about this machine and a store that no collector holds."""


@dataclass(slots=True, kw_only=True)
class Session:
    """One invocation: options of the group, which a command's own override."""

    backend: Backend
    collector: str = ""
    store: str = ""
    api_key: str = ""
    own: dict[str, str] = field(default_factory=dict)
    """Options given to the command itself."""

    def where(self) -> tuple[str, str]:
        """(collector, store), exactly one of them; the one nearest to the command wins."""
        for collector, store in (
            (self.own.get("collector", ""), self.own.get("store", "")),
            (self.collector, self.store),
        ):
            if collector and store:
                raise click.UsageError("--collector and --store exclude each other")
            if collector or store:
                return collector, store
        return os.environ.get("AGENTRUN_COLLECTOR") or COLLECTOR, ""

    def remote(self) -> RemoteOperations:
        collector, store = self.where()
        if store:
            raise click.UsageError(
                "this command follows a running collector: use --collector, not --store"
            )
        return RemoteOperations(collector, api_key=self.own.get("api_key") or self.api_key)

    @contextmanager
    def operations(self) -> Iterator[Operations]:
        """The same operations over HTTP or on the store itself."""
        _, store = self.where()
        if not store:
            yield self.remote()
            return
        with self.backend.operations(store) as operations:
            yield operations

    @property
    def store_url(self) -> str:
        """The store named for a command that works in this process; "" for its default."""
        return self.own.get("store") or self.store


_OPTIONS: Final = (
    click.option("--collector", metavar="URL", help=f"Ask this collector [{COLLECTOR}]."),
    click.option("--store", metavar="URL", help="Work on a store (chdb:///path, clickhouse://…)."),
    click.option("--api-key", metavar="KEY", help="Key to show (better: AGENTRUN_API_KEY)."),
)


def connected(command: F) -> F:
    """Adds --collector, --store and --api-key, and passes the `Session`."""

    @click.pass_obj
    @functools.wraps(command)
    def run(session: Session, /, *args: Any, **options: Any) -> Any:
        names = ("collector", "store", "api_key")
        given = {name: options.pop(name, None) for name in names}
        session.own |= {name: value for name, value in given.items() if value}
        return command(session, *args, **options)

    decorated: Any = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's decorators keep the callable


def say_error(message: str, hint: str = "") -> None:
    """On stderr, in the form of every error here: what, why, what to do."""
    from collector.cli.rendering import clean  # lazy: rich is not needed for --help

    lines = message.splitlines() or [""]
    text = "\n".join(line[: len(line) - len(line.lstrip())] + clean(line) for line in lines)
    click.echo(click.style("Error: ", fg="red", bold=True) + text, err=True)
    if hint:
        click.echo(f"  Fix: {clean(hint)}", err=True)


def said(error: Exception) -> int | None:
    """Say an expected failure and give its exit code; `None` for anything else (a bug)."""
    match error:
        case RequestError():
            say_error(str(error), error.hint)
            return FAILED if error.reason == "not_found" else USAGE
        case ConfigError():
            say_error(str(error))
            return USAGE
        case UnreachableError():
            say_error(
                str(error),
                "start one with `agentrun up`, name another with --collector URL, or read a "
                "store directly with --store URL.",
            )
        case StoreError():
            say_error(str(error), error.hint)
        case PermanentError():
            say_error(str(error))
        case RetryableError():
            say_error(str(error), "try again in a moment; `agentrun doctor` says what is wrong.")
        case OSError() if error.filename is not None:
            say_error(f"{error.filename}: {error.strerror}")
        case OSError() if error.errno is None:  # in words of ours: a port that is taken
            say_error(str(error))
        case _:
            return None
    return FAILED


class Commands(click.Group):
    """A group whose expected failures are sentences, not tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            code = said(error)
            if code is None:
                raise
            sys.exit(code)
