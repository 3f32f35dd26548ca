"""`agentrun migrate`: a store's data to another store."""

from __future__ import annotations

import sys
import time
from typing import Final

import click

from collector.api.values import Document
from collector.cli.runs import JSON
from collector.cli.session import FAILED, Session, say_error

STATES: Final = {
    "there": "already there",
    "moved": "moved",
    "missing": "to be moved",
    "differs": "differs",
}


@click.command("migrate")
@click.argument("source", metavar="FROM")
@click.argument("target", metavar="TO")
@click.option("--since", default="", metavar="TIME", help="Only what was received since then.")
@click.option("--dry-run", is_flag=True, help="Compare and count; write nothing.")
@click.option("--cluster", default="", metavar="NAME", help="Cluster of the target's tables.")
@click.option(
    "--block-rows", type=click.IntRange(1, 1_000_000), default=20_000, show_default=True,
    help="Rows in one insert.",
)  # fmt: skip
@JSON
@click.pass_obj
def migrate(
    session: Session,
    source: str,
    target: str,
    since: str,
    dry_run: bool,
    cluster: str,
    block_rows: int,
    as_json: bool,
) -> None:
    """Move what the store FROM holds to the store TO, and verify it.

    Both are URLs (chdb:///path, clickhouse://…); no collector may hold an embedded one. Run it
    again when it was interrupted: what is there already is skipped.
    """
    from rich.progress import Progress

    from collector.api.values import parse_time
    from collector.cli import rendering

    since_secs = parse_time(since, time.time_ns()) // 1_000_000_000 if since else None
    with Progress(console=rendering.notes(), transient=True) as bar:
        tasks: dict[str, object] = {}

        def progress(table: str, done: int, rows: int) -> None:
            if table not in tasks:
                tasks[table] = bar.add_task(table, total=rows)
            bar.update(tasks[table], completed=done, total=rows)  # type: ignore[arg-type]

        report = session.backend.migrate(
            source,
            target,
            cluster=cluster,
            since_secs=since_secs,
            dry_run=dry_run,
            block_rows=block_rows,
            progress=progress,
        )
    if as_json:
        rendering.print_json(report)
    else:
        _show(report)
    if not report["verified"] and not dry_run:
        say_error(
            "the target does not have what the source has (see `problem`)",
            "run it again; rows that differ then were changed in the target.",
        )
        sys.exit(FAILED)


def _show(report: Document) -> None:
    for table in report["tables"]:
        states = [part["state"] for part in table["partitions"]]
        said = ", ".join(
            f"{states.count(state)} {words}" for state, words in STATES.items() if state in states
        )
        click.echo(
            f"{table['table']:<26} {table['rows']:>12,} rows  "
            f"{len(states):>4} partitions: {said or 'empty'}"
        )
        for part in table["partitions"]:
            if part["problem"]:
                click.echo(f"    {part['partition'] or 'all'}: {part['problem']}")
    total = sum(table["rows"] for table in report["tables"])
    sent = sum(table["rows_sent"] for table in report["tables"])
    verified = "verified" if report["verified"] else "not all there"
    click.echo(f"{total:,} rows, {sent:,} sent, {verified}.")
