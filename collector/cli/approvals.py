"""`agentrun approvals list`, `agentrun runs approve / refuse`: what people are asked."""

from __future__ import annotations

import click

from collector.cli.control import ACTOR
from collector.cli.session import Session, connected

__all__ = ["approvals", "approve", "refuse"]

STATES = ("pending", "approved", "refused", "expired")


@click.group("approvals")
def approvals() -> None:
    """What runs wait for, and what was answered."""


@approvals.command("list")
@click.option("--state", type=click.Choice(STATES), help="Only those in this state.")
@click.option("--run", "run_id", default="", metavar="RUN_ID", help="Only those of this run.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@connected
def list_approvals(session: Session, state: str | None, run_id: str, as_json: bool) -> None:
    """Approvals of the last day, newest first."""
    with session.operations() as operations:
        found = operations.approvals.list(state=state or "", run_id=run_id)
    from collector.cli import rendering

    if as_json:
        rendering.print_json(found)
        return
    if not found:
        click.echo("No approvals.")
    for each in found:
        said = each["question"] or each["tool"] or ""
        when = f"until {each['expires_at'][:19]}Z" if each["expires_at"] else ""
        if each["answered_at"]:
            when = f"{each['answered_at'][:19]}Z by {each['answered_by'] or 'the application'}"
        click.echo(
            rendering.clean(
                f"{each['state']:9} {each['run_id']}  {each['approval_id']}  {said}  ({when})"
            )
        )


@click.command("approve")
@click.argument("run_id")
@click.option("--approval", "approval_id", default="", metavar="ID", help="Which, of several.")
@click.option("--reason", default="", metavar="TEXT", help="Why; the application is told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@connected
def approve(session: Session, run_id: str, approval_id: str, reason: str, as_json: bool) -> None:
    """Let a run do what it has asked for."""
    _answer(session, run_id, approval_id, reason, as_json, approve=True)


@click.command("refuse")
@click.argument("run_id")
@click.option("--approval", "approval_id", default="", metavar="ID", help="Which, of several.")
@click.option("--reason", default="", metavar="TEXT", help="Why; the application is told.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@connected
def refuse(session: Session, run_id: str, approval_id: str, reason: str, as_json: bool) -> None:
    """Refuse what a run has asked for."""
    _answer(session, run_id, approval_id, reason, as_json, approve=False)


def _answer(
    session: Session, run_id: str, approval_id: str, reason: str, as_json: bool, *, approve: bool
) -> None:
    with session.operations() as operations:
        approval = operations.approvals.answer(
            run_id, approve=approve, approval_id=approval_id, comment=reason, actor=ACTOR
        )
    if as_json:
        from collector.cli.rendering import print_json

        print_json(approval)
    else:
        click.echo(f"{approval['approval_id']} of run {approval['run_id']}: {approval['state']}.")
