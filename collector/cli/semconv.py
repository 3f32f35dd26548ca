"""`agentrun semconv check`: do spans and events say what the registry says they say."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from collector.cli.runs import JSON
from collector.cli.session import FAILED

if TYPE_CHECKING:
    from collector.semconv.report import Found, Report

SIGNALS: Final = ("span", "span event", "event", "log record", "resource")


@click.group("semconv")
def semconv() -> None:
    """The names of attributes, spans and events."""


@semconv.command("check")
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE...",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@JSON
def check(files: tuple[Path, ...], as_json: bool) -> None:
    """Compare OTLP files (JSON lines or protobuf) with the semantic conventions.

    Fails on a violation, and on a file that is no OTLP.  Advice does not fail.
    """
    # Imported here: YAML and protobuf are not needed for --help.
    from collector.cli import rendering
    from collector.semconv import loading, observed
    from collector.semconv.report import examine

    unreadable: list[str] = []
    report = examine(observed.read(files, unreadable), loading.load())
    report = replace(report, unreadable=tuple(unreadable))
    if as_json:
        rendering.print_json(report.document())
    else:
        _say(report)
    if not report.conforms:
        sys.exit(FAILED)


def _say(report: Report) -> None:
    from collector.cli.rendering import clean
    from collector.semconv.problem import Severity

    for one in report.found:
        _say_problem(one)
    for place in report.unreadable:
        click.echo(click.style("unreadable ", fg="red") + clean(place))
    seen = [
        f"{report.checked[name]:,} {name}{'s' if report.checked[name] != 1 else ''}"
        for name in SIGNALS
        if report.checked[name]
    ]
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.steps.items()))
    violations, advice = report.count(Severity.VIOLATION), report.count(Severity.ADVICE)
    click.echo(f"Checked {', '.join(seen) or 'nothing'}; steps of ours: {kinds or 'none'}.")
    click.echo(f"{violations:,} violations, {advice:,} advice: "
               + ("it conforms." if report.conforms else "it does not conform."))  # fmt: skip


def _say_problem(one: Found) -> None:
    from collector.cli.rendering import clean
    from collector.semconv.problem import Severity

    problem = one.problem
    color = "red" if problem.severity is Severity.VIOLATION else "yellow"
    head = click.style(problem.severity.value, fg=color)
    times = f"  ({one.count:,} times)" if one.count > 1 else ""
    click.echo(f"{head} {clean(problem.subject)}: {clean(problem.what)}{times}")
    click.echo(f"  Why: {clean(problem.why)}.")
    click.echo(f"  Fix: {clean(problem.fix)}")
    for place in one.where:
        click.echo(f"  Where: {clean(place)}")
