"""`agentrun ledger verify / export`: the decision ledger."""

from __future__ import annotations

import csv
import sys
import time

import click

from collector.api.values import RequestError, parse_time
from collector.cli.session import FAILED, Session, connected, say_error
from collector.ledger.query import LedgerQuery

__all__ = ["ledger"]


@click.group("ledger")
def ledger() -> None:
    """What was decided, by whom and why, in a chain that shows tampering."""


@ledger.command("verify")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@connected
def verify(session: Session, as_json: bool) -> None:
    """Read every chain; exit status 1 when an entry was changed, removed or inserted."""
    with session.operations() as operations:
        report = operations.ledger.verify()
    if as_json:
        from collector.cli.rendering import print_json

        print_json(report)
    else:
        for chain in report["chains"]:
            head = f"{chain['last_seq']}:{chain['head']}"
            click.echo(
                f"chain {chain['chain_id']}: {chain['entries']:,} entries, newest {head}, "
                + ("intact" if chain["ok"] else f"{chain['problems_found']:,} problems")
            )
            for problem in chain["problems"]:
                click.echo(f"  entry {problem['seq']}: {problem['problem']}")
        if not report["chains"]:
            click.echo("No decisions yet.")
    if not report["ok"]:
        if not as_json:
            say_error(
                "the ledger is not as it was written",
                "compare with a backup or an export; docs/ledger.md says what each problem means.",
            )
        sys.exit(FAILED)


@ledger.command("export")
@click.option("--run", "run_id", default="", metavar="RUN_ID", help="Only of this run.")
@click.option("--since", metavar="TIME", help="At or after: RFC 3339, or 15m, 2h, 7d ago.")
@click.option("--until", metavar="TIME", help="Before: RFC 3339, or an age.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest so many.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header line instead of JSON.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document (the default).")
@connected
def export(
    session: Session,
    run_id: str,
    since: str | None,
    until: str | None,
    limit: int | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print entries, oldest first."""
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    now_ns = time.time_ns()
    query = LedgerQuery(
        run_id=run_id,
        since_ns=_time("since", since, now_ns),
        until_ns=_time("until", until, now_ns),
        limit=limit,
    )
    with session.operations() as operations:
        entries = operations.ledger.entries(query)
    if not as_csv:
        from collector.cli.rendering import print_json

        print_json(entries)
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for number, entry in enumerate(entries):
        if number == 0:
            writer.writerow(entry)
        writer.writerow("" if value is None else value for value in entry.values())


def _time(name: str, text: str | None, now_ns: int) -> int | None:
    if text is None:
        return None
    try:
        return parse_time(text, now_ns)
    except ValueError as error:
        raise RequestError(f"{name}: {error}", "See docs/ledger.md.") from None
