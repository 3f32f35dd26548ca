"""`agentrun rules …`: checking rules files, trying them on stored runs, budgets from history."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import click

from collector.api.service import LIMIT_MAX, parse_query
from collector.cli.runs import JSON, SINCE, UNTIL
from collector.cli.session import Session, connected

FILE: Final = click.argument(
    "file", metavar="FILE", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
RUNS_DEFAULT: Final = 10_000


@click.group()
def rules() -> None:
    """Budgets, loops and policies."""


@rules.command("check")
@FILE
@JSON
def check(file: Path, as_json: bool) -> None:
    """Read a rules file and say everything that is wrong with it."""
    from collector.rules.bench import in_force
    from collector.rules.file import ruleset

    found = ruleset(file)
    if as_json:
        from collector.cli.rendering import print_json

        print_json({"version": found.version, "rules": in_force(found)["file"]})
    else:
        click.echo(f"{file}: {len(found.rules)} rules in force, version {found.version}.")


@rules.command("backtest")
@FILE
@click.option("--since", metavar="TIME", default="7d", show_default=True, help=SINCE)
@click.option("--until", metavar="TIME", help=UNTIL)
@click.option("--agent", metavar="TEXT", help="Only runs of this agent.")
@click.option("--environment", metavar="TEXT", help="Only runs of this environment.")
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=RUNS_DEFAULT, show_default=True,
    help="Most runs to try it on, the newest.",
)  # fmt: skip
@JSON
@connected
def backtest(
    session: Session,
    file: Path,
    since: str,
    until: str | None,
    agent: str | None,
    environment: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """What the rules would have done to stored runs, what that would have saved, and whom it would
    have hit."""
    from collector.rules.file import load

    load(file)  # its mistakes are said with the file's own name, before anybody is asked
    given = {"since": since, "until": until, "agent": agent, "environment": environment}
    pairs = [(name, value) for name, value in given.items() if value is not None]
    query = parse_query([*pairs, ("limit", str(limit))], now_ns=time.time_ns())
    with session.operations() as operations:
        report = operations.backtest(file.read_text(encoding="utf-8-sig"), query)
    from collector.cli import rendering

    if as_json:
        rendering.print_json(report)
        return
    rendering.show(rendering.backtest_table(report), "")
    total = report["total"]
    rendering.notes().print(
        f"{report['runs']:,} runs, {report['completed_well']:,} completed well. It would have "
        f"stopped {total['paused'] + total['killed']:,}, of which {total['completed_well_hit']:,} "
        f"completed well, and saved ${total['saved_usd']:,.2f}.",
        markup=False,
    )  # fmt: skip


@rules.command("suggest")
@click.option("--since", metavar="TIME", default="30d", show_default=True, help=SINCE)
@click.option("--agent", metavar="TEXT", help="Only for this agent.")
@click.option(
    "--percentile", type=click.FloatRange(50, 100), default=99.0, show_default=True,
    help="Of completed runs.",
)  # fmt: skip
@click.option(
    "--margin", type=click.FloatRange(1, 100), default=1.5, show_default=True,
    help="Limits are so many times the percentile.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(1, LIMIT_MAX), default=RUNS_DEFAULT, show_default=True,
    help="Most runs to look at, the newest.",
)  # fmt: skip
@JSON
@connected
def suggest(
    session: Session,
    since: str,
    agent: str | None,
    percentile: float,
    margin: float,
    limit: int,
    as_json: bool,
) -> None:
    """Budgets from history, by agent and task type, as a rules file on standard output."""
    pairs = [("since", since), ("limit", str(limit))] + ([("agent", agent)] if agent else [])
    query = parse_query(pairs, now_ns=time.time_ns())
    with session.operations() as operations:
        found = operations.suggest(query, percentile, margin)
    from collector.cli import rendering

    if as_json:
        rendering.print_json(found)
        return
    click.echo(found["yaml"], nl=False)
    few = [group for group in found["groups"] if not group["enough"]]
    if few:
        names = ", ".join(sorted({rendering.clean(group["agent_name"]) for group in few}))
        rendering.notes().print(f"Too few runs to say anything: {names}.", markup=False)
