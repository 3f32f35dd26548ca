"""`agentrun explain`: how spans were read, and what of them counts."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from collector.cli.runs import JSON
from collector.cli.session import FAILED, Session, connected, say_error


@click.command("explain")
@click.argument("target", metavar="FILE|RUN_ID")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Config whose mappings and prices a FILE is read with [agentrun.yaml if there is one].",
)
@JSON
@connected
def explain(session: Session, target: str, config: Path | None, as_json: bool) -> None:
    """Say of each span which dialect read it, which attribute gave which field, and what counts.

    FILE is OTLP (JSON lines or protobuf), read here and not stored; RUN_ID is a run of a collector
    or a store.
    """
    if Path(target).is_file():
        document = session.backend.explain(config, Path(target))
    else:
        with session.operations() as operations:
            run = operations.explain(target)
        if run is None:
            say_error(
                f"no file and no run {target}",
                "`agentrun runs list` shows the runs there are; check the path of a file.",
            )
            sys.exit(FAILED)
        document = {"runs": [run], "outside": []}
    from collector.cli import rendering

    if as_json:
        rendering.print_json(document)
        return
    for each in document["runs"]:
        rendering.show(rendering.explained_run(each), "")
    if document["outside"]:
        rendering.show(rendering.explained_outside(document["outside"]))
