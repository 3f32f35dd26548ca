"""`agentrun up, demo, ingest, schema, doctor`: running a collector and looking after it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

from collector.api.remote import UnreachableError
from collector.api.values import Document
from collector.cli.runs import JSON
from collector.cli.session import FAILED, Session, connected, say_error
from collector.errors import PermanentError, StoreError

CONFIG: Final = click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Config file [agentrun.yaml where there is one].",
)
DATA_DIR: Final = click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Journal, and the embedded store in DIR/store [.agentrun].",
)
STORE: Final = click.option("--store", metavar="URL", help="chdb:///path or clickhouse://….")


@click.command("up")
@CONFIG
@DATA_DIR
@STORE
@click.pass_obj
def up(session: Session, config: Path | None, data_dir: Path | None, store: str | None) -> None:
    """Start the collector; Ctrl-C drains and stops it."""
    session.backend.up(config, data_dir, store or session.store)


@click.command("demo")
@DATA_DIR
@click.option("--once", is_flag=True, help="Print the summary and exit.")
@JSON
@click.pass_obj
def demo(session: Session, data_dir: Path | None, once: bool, as_json: bool) -> None:
    """Start the collector and run the demo agents."""
    if as_json and not once:
        raise click.UsageError("--json needs --once: without it the demo does not end")
    session.backend.demo(data_dir, once=once, json=as_json)


@click.command("ingest")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@STORE
@JSON
@click.pass_obj
def ingest(session: Session, files: tuple[Path, ...], store: str | None, as_json: bool) -> None:
    """Read OTLP files (JSON lines or protobuf) through the same pipeline.

    Ends when everything is in the store, and prints what became of every item.
    """
    from rich.progress import Progress

    from collector.cli import rendering

    with Progress(console=rendering.notes(), transient=True) as bar:
        task = bar.add_task("ingesting", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        report = session.backend.ingest(files, store or session.store, progress)
    if as_json:
        rendering.print_json(report)
    else:
        rendering.show(rendering.terms_table(report["signals"]), f"runs: {report['runs']:,}")
        for scope, spans in report.get("unrecognized", {}).items():
            rendering.notes().print(
                f"no dialect reads {spans:,} agent-looking spans of {rendering.clean(scope)!r}: "
                "docs/dialects.md says how to map them",
                style="yellow", markup=False,
            )  # fmt: skip
    left = sum(terms["pending"] for terms in report["signals"].values())
    if left:
        say_error(f"{left:,} items are acknowledged and not in the store", "run it again.")
        sys.exit(FAILED)


@click.group("schema")
def schema() -> None:
    """The tables of the store."""


CLUSTER: Final = click.option("--cluster", default="", metavar="NAME", help="For this cluster.")


@schema.command("print")
@CLUSTER
@click.pass_obj
def print_schema(session: Session, cluster: str) -> None:
    """SQL of all migrations."""
    click.echo(session.backend.schema(cluster), nl=False)


@schema.command("apply")
@STORE
@CLUSTER
@JSON
@click.pass_obj
def apply_schema(session: Session, store: str | None, cluster: str, as_json: bool) -> None:
    """Create or migrate the tables of a store."""
    url = store or session.store
    if not url:
        raise click.UsageError("name the store: --store clickhouse://… or chdb:///path")
    applied = list(session.backend.apply_schema(url, cluster))
    if as_json:
        from collector.cli.rendering import print_json

        print_json({"applied": applied})
    else:
        click.echo(f"Applied {', '.join(applied)}." if applied else "The schema is current.")


@click.command("doctor")
@CONFIG
@DATA_DIR
@JSON
@connected
def doctor(session: Session, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Look for what is wrong, and say what to do about it."""
    findings = _running(session)
    if findings is None:
        findings = session.backend.examine(config, data_dir, session.store_url)
    from collector.cli import rendering

    if as_json:
        rendering.print_json(findings)
    else:
        rendering.show(rendering.findings_table(findings))
    if any(finding["status"] == "fail" for finding in findings):
        sys.exit(FAILED)


def _running(session: Session) -> list[Document] | None:
    """What a running collector says of itself; `None` when there is none to ask."""
    collector, store = session.where()
    if store:
        return None
    named = bool(session.own.get("collector") or session.collector)
    try:
        findings = session.remote().doctor()
    except UnreachableError:
        if named:
            raise
        return None
    except (PermanentError, StoreError) as error:
        hint = getattr(error, "hint", "") or "Use a key with the role admin (AGENTRUN_API_KEY)."
        return [{"check": "collector", "status": "fail", "message": str(error), "hint": hint}]
    running = {
        "check": "collector",
        "status": "ok",
        "message": f"running at {collector}",
        "hint": None,
    }
    return [running, *findings]
