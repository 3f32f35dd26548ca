"""`agentrun dashboards …`: the Grafana dashboards that come with this version."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def dashboards() -> None:
    """Grafana dashboards and alert rules."""


@dashboards.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def export(folder: Path) -> None:
    """Write dashboards, alert rules and examples of provisioning files into DIR."""
    from collector.dashboards.export import export as write

    for path in write(folder):
        click.echo(path)
