"""`agentrun runs …` and `agentrun feedback`: reading runs, following, erasing and judging them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click

from collector.api.service import FILTERS, Feedback, Selector, parse_query, parse_selector
from collector.api.values import Document
from collector.cli.session import FAILED, Session, connected, say_error
from collector.store.filters import LIMIT_DEFAULT

JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
SINCE: Final = "Started at or after: RFC 3339, or 15m, 2h, 7d ago."
UNTIL: Final = "Started before: RFC 3339, or an age."
ACTOR: Final = "command line"


def _filters(command: Callable[..., Any]) -> Callable[..., Any]:
    """All filters of `collector.api.service.FILTERS` as options."""
    command = click.option("--until", metavar="TIME", help=UNTIL)(command)
    command = click.option("--since", metavar="TIME", help=SINCE)(command)
    command = click.option(
        "--tag", multiple=True, metavar="KEY=VALUE", help="Has this tag; may be repeated."
    )(command)
    for name, text in reversed(list(FILTERS.items())):
        option = f"--{name.replace('_', '-')}"
        command = click.option(option, metavar="TEXT", help=text[0].upper() + text[1:] + ".")(
            command
        )
    return command


@click.group()
def runs() -> None:
    """Read, follow and erase runs."""


@runs.command("list")
@_filters
@click.option("--limit", default=LIMIT_DEFAULT, show_default=True, help="Most runs to print.")
@JSON
@connected
def list_runs(
    here: Session,
    /,
    as_json: bool,
    limit: int,
    tag: tuple[str, ...],
    **filters: str | None,
) -> None:
    """Runs, newest first."""
    pairs = [(name, value) for name, value in filters.items() if value is not None]
    pairs += [("tag", each) for each in tag]
    query = parse_query([*pairs, ("limit", str(limit))], now_ns=time.time_ns())
    with here.operations() as operations:
        found = operations.runs(query)
    if as_json:
        _json(found)
        return
    from collector.cli import rendering

    rendering.show(rendering.runs_table(found))
    if len(found) == limit:
        rendering.notes().print(f"The newest {limit}; --limit shows more.", style="dim")


@runs.command("show")
@click.argument("run_ids", nargs=-1, required=True, metavar="RUN_ID...")
@JSON
@connected
def show_runs(session: Session, run_ids: tuple[str, ...], as_json: bool) -> None:
    """Runs with their steps and events."""
    with session.operations() as operations:
        shown = [(run_id, operations.run(run_id)) for run_id in run_ids]
    missing = [run_id for run_id, document in shown if document is None]
    found = [document for _, document in shown if document is not None]
    if missing:
        say_error(f"no run {', '.join(missing)}", "`agentrun runs list` shows those there are.")
    if as_json:
        if missing:  # half an answer would look like a whole one
            sys.exit(FAILED)
        _json(found[0] if len(run_ids) == 1 else found)
        return
    from collector.cli import rendering

    for document in found:
        rendering.show(rendering.shown_run(document), "")
    if missing:
        sys.exit(FAILED)


@runs.command("tail")
@click.option("--agent", metavar="TEXT", help="Only runs of this agent.")
@click.option("--count", type=click.IntRange(min=1), help="Stop after this many updates.")
@click.option("--json", "as_json", is_flag=True, help="One run document per line.")
@connected
def tail_runs(session: Session, agent: str | None, count: int | None, as_json: bool) -> None:
    """Follow runs as they change, until Ctrl-C."""
    from collector.cli import rendering

    notes = rendering.notes()

    def missed(updates: int) -> None:
        notes.print(f"{updates} updates left out: this terminal is too slow", style="yellow")

    remote = session.remote()
    if not as_json:
        notes.print(f"Following {remote.url}; Ctrl-C ends.", style="dim")
    try:
        for run in remote.tail(missed):
            if agent and run.get("agent_name") != agent:
                continue
            if as_json:
                click.echo(rendering.json_line(run), nl=False)
            else:
                rendering.show(rendering.run_line(run))
            sys.stdout.flush()
            count = count and count - 1
            if count == 0:
                return
    except KeyboardInterrupt:
        return
    say_error("the collector ended the stream", "it is shutting down; start it again.")
    sys.exit(FAILED)


@runs.command("delete")
@click.argument("run_ids", nargs=-1, metavar="[RUN_ID...]")
@click.option("--user", metavar="TEXT", help="User id.")
@click.option("--session", "session_id", metavar="TEXT", help="Session id.")
@click.option("--since", metavar="TIME", help=SINCE)
@click.option("--until", metavar="TIME", help=UNTIL)
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
@connected
def delete_runs(
    session: Session,
    run_ids: tuple[str, ...],
    user: str | None,
    session_id: str | None,
    since: str | None,
    until: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase runs everywhere: spans, steps, logs, content, journal records.

    Whole trace groups go, so that no run keeps half of its spans.  Who erased what stays recorded.
    """
    pairs = {"user": user, "session": session_id, "since": since, "until": until}
    named = [(name, value) for name, value in pairs.items() if value is not None]
    selector = Selector(run_ids=run_ids) if run_ids and not named else None
    if selector is None:
        selector = parse_selector(named, now_ns=time.time_ns())
        if run_ids:
            raise click.UsageError("name run ids, or filters; not both")
    what = ", ".join(run_ids) or "every run with " + " and ".join(f"{n} {v}" for n, v in named)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("nobody is there to confirm: add --yes")
        click.confirm(f"Erase {what} and everything recorded with it?", abort=True, err=True)
    with session.operations() as operations:
        erased = operations.delete(selector, actor=ACTOR)
    if as_json:
        _json(erased)
        return
    numbers = [f"{value:,} {name.replace('_', ' ')}" for name, value in erased.items()
               if isinstance(value, int)]  # fmt: skip
    click.echo(f"Erased {', '.join(numbers) or what}.")


@click.command("feedback")
@click.argument("run_id")
@click.option("--name", required=True, help="What is judged, such as rating or helpful.")
@click.option("--score", type=float, help="A number.")
@click.option("--label", default="", help="A word; soft_failure and the like set the outcome.")
@click.option("--comment", default="", help="Text.")
@JSON
@connected
def feedback(session: Session, run_id: str, as_json: bool, **judgment: Any) -> None:
    """Judge a run, however long ago it ended."""
    given = Feedback(run_id=run_id, **judgment)
    with session.operations() as operations:
        event = operations.feedback(given, actor=ACTOR)
    if as_json:
        _json(event)
    else:
        click.echo(f"Recorded {given.name!r} for run {run_id}.")


def _json(document: Document | list[Document]) -> None:
    from collector.cli.rendering import print_json

    print_json(document)
