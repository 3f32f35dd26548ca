"""Directives and open runs as messages of the control stream (schemas/control.proto)."""

from __future__ import annotations

from collector.control.directives import Directive
from collector.control.state import RunFacts
from otel_agentrun import control_pb2 as pb

__all__ = ["directive_message", "received", "run_facts", "welcome"]


def directive_message(directive: Directive) -> bytes:
    """A serialized `Down`."""
    said = pb.Directive(
        id=directive.directive_id,
        action=directive.action,
        reason=directive.reason,
        stop_reason=directive.stop_reason,
        rule=directive.rule,
        rules_version=directive.rules_version,
        policy_version=directive.policy_version,
        span_ids=directive.span_ids,
        actor=directive.actor,
        approval_id=directive.approval_id,
        tool_call_id=directive.tool_call_id,
        tool_name=directive.tool_name,
        at_unix_ns=directive.at_ns,
        expires_unix_ns=directive.expires_ns,
        workspace_limit=directive.workspace_limit,
    )
    match directive.scope:
        case "run":
            said.run_id = directive.target
        case "agent":
            said.agent = directive.target
        case "workspace":
            said.workspace = directive.target
        case "everything":
            said.everything = True
    return pb.Down(directive=said).SerializeToString()


def welcome(collector_id: str) -> bytes:
    return pb.Down(welcome=pb.Welcome(collector_id=collector_id)).SerializeToString()


def received(sequence: int, error: str = "") -> bytes:
    return pb.Down(received=pb.Received(sequence=sequence, error=error)).SerializeToString()


def run_facts(run: pb.OpenRun, workspace: str) -> RunFacts:
    """`workspace` is that of the sender's API key, which wins over what the sender says."""
    return RunFacts(
        run_id=run.run_id,
        agent=run.agent,
        workspace=workspace or run.workspace,
        started_ns=run.started_unix_ns,
    )
