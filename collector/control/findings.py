"""From what a rule found to what an application is told: pure."""

from __future__ import annotations

from typing import Final, cast

from collector.control.directives import Action, Directive
from collector.runs.events import FINDING
from otel_agentrun import semconv
from otel_agentrun.rules.finding import LOCAL
from otel_agentrun.step import Event
from otel_agentrun.stops import stop_of_finding

__all__ = ["directive_from"]

ACTOR: Final = "rule"


def directive_from(event: Event) -> Directive | None:
    """What a finding calls for; `None` when nothing is to be done about it.

    Its id and time follow from the finding: however often that is read, it is the same directive.
    """
    said = event.attributes
    action = said.get(semconv.FINDING_ACTION, "")
    finding_id = said.get(semconv.FINDING_ID, "")
    run_id = event.run_id or said.get(semconv.RUN_ID, "")
    if (
        event.name != FINDING
        or action not in ("pause", "kill")
        or not finding_id
        or not run_id
        or semconv.FINDING_DRY_RUN in said
        or said.get(semconv.ACTOR) == LOCAL  # who found it acts on it
        or semconv.FINDING_WITHDRAWN in said
    ):
        return None
    spans = said.get(semconv.FINDING_SPAN_IDS, "")
    workspace = said.get(semconv.WORKSPACE, "")
    kind = said.get(semconv.FINDING_KIND, "")
    return Directive(
        action=cast("Action", action),
        target=run_id,
        directive_id=f"{action}-{finding_id}",
        reason=said.get(semconv.FINDING_EXPLANATION, ""),
        stop_reason=stop_of_finding(kind, said.get(semconv.BUDGET_KIND, "")),
        rule=said.get(semconv.FINDING_RULE, ""),
        rules_version=said.get(semconv.RULES_VERSION, ""),
        span_ids=tuple(spans.split(",")) if spans else (),
        actor=ACTOR,
        finding_id=finding_id,
        # A finding that an application sent stands for runs of its own workspace only.
        workspace_limit=workspace,
        workspace=workspace,
        trace_id=event.trace_id,
        at_ns=event.at_ns,
    )
