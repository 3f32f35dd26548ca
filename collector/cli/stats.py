"""`agentrun stats`: the figures of the dashboards, without Grafana."""

from __future__ import annotations

import time

import click

from collector.cli.runs import JSON, SINCE, UNTIL
from collector.cli.session import Session, connected


@click.command("stats")
@click.argument("name", required=False, default="", metavar="[NAME]")
@click.option("--by", metavar="DIMENSION", default="", help="Group by agent, workflow, model, ...")
@click.option("--since", metavar="TIME", default="24h", show_default=True, help=SINCE)
@click.option("--until", metavar="TIME", default="", help=UNTIL)
@click.option("--run", metavar="RUN_ID", default="", help="Of one run: figures named run-….")
@click.option(
    "--where", multiple=True, metavar="FILTER=VALUE",
    help="Only runs with agent=NAME, environment=…, user=…; may be repeated.",
)  # fmt: skip
@JSON
@connected
def stats(
    session: Session,
    name: str,
    by: str,
    since: str,
    until: str,
    run: str,
    where: tuple[str, ...],
    as_json: bool,
) -> None:
    """Figures of the dashboards; without NAME, which there are."""
    from collector.cli import rendering, tables
    from collector.dashboards.stats import catalog, parse_stat

    if not name:
        found = catalog()
        if as_json:
            rendering.print_json(found)
        else:
            rendering.show(tables.catalog_table(found))
        return
    pairs = [("since", since)]
    pairs += [(key, value) for key, value in (("by", by), ("until", until), ("run", run)) if value]
    for one in where:
        key, equals, value = one.partition("=")
        if not equals:
            raise click.UsageError(f"--where {one!r}: expected FILTER=VALUE, such as agent=support")
        pairs.append((key.replace("-", "_"), value))
    stat = parse_stat(name, pairs, now_ns=time.time_ns())
    with session.operations() as operations:
        document = operations.stats(stat)
    if as_json:
        rendering.print_json(document)
    else:
        rendering.show(tables.stat_table(document))
