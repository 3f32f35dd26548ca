"""`agentrun runs stop / pause / resume`: what people tell running agents."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import click

from collector.api.orders import Order, OrderAction
from collector.api.service import Operations
from collector.api.values import Document
from collector.cli.session import FAILED, Session, connected, say_error

__all__ = ["pause", "resume", "stop"]

ACTOR: Final = "command line"
LOOK_SECS: Final = 0.1
DONE: Final = {"kill": "stopped", "pause": "paused", "resume": "resumed"}
ASKED: Final = {"kill": "Stop", "pause": "Pause", "resume": "Resume"}

COMMON: Final = (
    click.option("--reason", default="", metavar="TEXT", help="Why; the run has it."),
    click.option(
        "--wait",
        "wait_secs",
        type=click.FloatRange(min=0),
        default=0.0,
        metavar="SECS",
        help="Wait so long for the application's answer; exit status 1 without one.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document."),
)


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(COMMON):
        command = option(command)
    return command


@click.command("stop")
@click.argument("run_id", required=False, default="")
@click.option("--agent", default="", metavar="TEXT", help="Every run of this agent.")
@click.option("--workspace", default="", metavar="TEXT", help="Every run of this workspace.")
@click.option("--all", "everything", is_flag=True, help="Every run there is.")
@_common
@connected
def stop(session: Session, run_id: str, **options: Any) -> None:
    """Stop a run, or every run of an agent, a workspace, or at all, that has started by now."""
    _direct(session, "kill", run_id=run_id, **options)


@click.command("pause")
@click.argument("run_id")
@_common
@connected
def pause(session: Session, run_id: str, **options: Any) -> None:
    """Have a run wait before its next step until it is resumed or stopped."""
    _direct(session, "pause", run_id=run_id, **options)


@click.command("resume")
@click.argument("run_id")
@_common
@connected
def resume(session: Session, run_id: str, **options: Any) -> None:
    """Let a paused run go on."""
    _direct(session, "resume", run_id=run_id, **options)


def _direct(
    session: Session, action: OrderAction, *, wait_secs: float, as_json: bool, **scope: Any
) -> None:
    order = Order(action=action, **scope)
    with session.operations() as operations:
        directive = operations.control.direct(order, actor=ACTOR)
        directive = _wait(operations, directive, wait_secs)
    if as_json:
        from collector.cli.rendering import print_json

        print_json(directive)
    else:
        click.echo(_text(directive))
    if directive["status"] == "failed" or (wait_secs and directive["status"] == "requested"):
        if not as_json:
            say_error(*_why(directive, wait_secs))
        sys.exit(FAILED)


def _wait(operations: Operations, directive: Document, wait_secs: float) -> Document:
    """Until an application has answered."""
    until = time.monotonic() + wait_secs
    while directive["status"] == "requested" and time.monotonic() < until:
        time.sleep(LOOK_SECS)
        directive = operations.control.directive(directive["directive_id"]) or directive
    return directive


def _text(directive: Document) -> str:
    whom = _whom(directive)
    did = DONE[directive["action"]]
    match directive["status"]:
        case "acknowledged":
            runs = sum(answer["status"] == "acknowledged" for answer in directive["answers"])
            several = f", {runs} runs" if directive["scope"] != "run" else ""
            return f"{whom[0].upper()}{whom[1:]}: {did}{several}."
        case "failed":
            return f"{ASKED[directive['action']]} of {whom} failed."
    text = f"{ASKED[directive['action']]} of {whom} requested ({directive['directive_id']})."
    if directive["held_by"]:
        return text
    return (
        f"{text}\nNo connected application has said that it holds "
        + ("this run" if directive["scope"] == "run" else "such a run")
        + f": one that connects until {directive['expires_at'][:19]}Z is told."
    )


def _whom(directive: Document) -> str:
    match directive["scope"]:
        case "run":
            return f"run {directive['run_id']}"
        case "agent":
            return f"runs of agent {directive['agent']}"
        case "workspace":
            return f"runs of workspace {directive['workspace']}"
    return "all runs"


def _why(directive: Document, wait_secs: float) -> tuple[str, str]:
    if directive["status"] == "failed":
        errors = sorted({answer["error"] or "no reason given" for answer in directive["answers"]})
        return "; ".join(errors), "the application's log has more."
    return (
        f"no application has answered within {wait_secs:g} s",
        "is the application connected (extra `control`, OTEL_AGENTRUN_CONTROL)? It acts on a "
        "directive before its next step; docs/control.md.",
    )
