"""The group `agentrun` and its options.  `--help` loads click and nothing heavier."""

from __future__ import annotations

import click

from collector.cli import (
    approvals,
    control,
    dashboards,
    explain,
    ledger,
    migrate,
    operations,
    rules,
    runs,
    semconv,
    stats,
)
from collector.cli.session import COLLECTOR, Commands, Session


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("otel-agentrun")
    except PackageNotFoundError:  # a checkout that was never installed
        return "unknown"


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"agentrun {_version()}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--collector", metavar="URL", default="", help=f"Ask this collector [{COLLECTOR}].")
@click.option("--store", metavar="URL", default="", help="Work on a store directly.")
@click.option(
    "--api-key", metavar="KEY", default="", envvar="AGENTRUN_API_KEY", help="Key to show."
)
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version,
    help="Print the version.",
)  # fmt: skip
@click.pass_context
def main(ctx: click.Context, collector: str, store: str, api_key: str) -> None:
    """Agent runs made of OpenTelemetry spans.

    Exit status: 0 done, 1 failed, 2 wrong usage or configuration.
    """
    session = ctx.obj
    if session is None:
        from collector.cli.backend import InProcess

        session = ctx.obj = Session(backend=InProcess())
    session.collector, session.store, session.api_key = collector, store, api_key


for verb in (control.stop, control.pause, control.resume, approvals.approve, approvals.refuse):
    runs.runs.add_command(verb)
for command in (
    operations.up,
    operations.demo,
    operations.ingest,
    runs.runs,
    explain.explain,
    runs.feedback,
    stats.stats,
    dashboards.dashboards,
    rules.rules,
    approvals.approvals,
    ledger.ledger,
    operations.schema,
    migrate.migrate,
    semconv.semconv,
    operations.doctor,
):
    main.add_command(command)
