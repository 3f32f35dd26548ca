"""An application with rules, people who decide, customers who pay: what the demo does not have.

OTLP/JSON in the GenAI conventions and our events, a few runs of the environment `governed`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

RULES: Final = """\
budgets:
  - name: department-day
    match: environment == "governed"
    measure: cost_usd
    limit: 1
    per: department
    window: day
"""
"""A budget that the runs of a department share."""
SECOND: Final = 1_000_000_000
ENVIRONMENT: Final = "governed"

Json = dict[str, Any]


def run_id(name: str) -> str:
    """Id of a run, and of its trace."""
    return hashlib.md5(f"governed {name}".encode()).hexdigest()


@dataclass(slots=True, kw_only=True)
class Told:
    """One run as it is sent: times in seconds since `start_ns`."""

    name: str
    start_ns: int
    said: Mapping[str, str]
    """Attributes of every span."""
    spans: list[Json] = field(default_factory=list)
    events: list[Json] = field(default_factory=list)

    def model(self, at: float, model: str, sent: int, got: int, **more: Any) -> None:
        """A call of a tenth of a second."""
        calls = more.pop("calls", ())
        said = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": model,
            "gen_ai.usage.input_tokens": sent,
            "gen_ai.usage.output_tokens": got,
            **more,
        }
        if calls:
            parts = ",".join(
                f'{{"type":"tool_call","id":"{call}","name":"{tool}","arguments":{{"id":"9"}}}}'
                for call, tool in calls
            )
            said["gen_ai.output.messages"] = (
                f'[{{"role":"assistant","parts":[{parts}],"finish_reason":"tool_call"}}]'
            )
        self._span(f"chat {model}", at, at + 0.1, said)

    def tool(self, at: float, tool: str, call: str, error: str = "") -> None:
        said = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": tool,
            "gen_ai.tool.call.id": call,
            "gen_ai.tool.call.arguments": '{"id":"9"}',
            "gen_ai.tool.call.result": "" if error else '{"found":[]}',
            **({"error.type": error} if error else {}),
        }
        self._span(f"execute_tool {tool}", at, at + 0.05, said, failed=bool(error))

    def root(self, until: float, *, failed: bool = False) -> None:
        said = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self.said["gen_ai.agent.name"],
        }
        self._span("invoke_agent", 0, until, said, failed=failed, parent="")

    def event(self, at: float, name: str, **said: object) -> None:
        """Underscores of a name's parts are dots: `decision__kind` is `agentrun.decision.kind`."""
        attributes = {f"agentrun.{key.replace('__', '.')}": value for key, value in said.items()}
        self.plain_event(at, name, {**attributes, "agentrun.run.id": run_id(self.name)})

    def plain_event(self, at: float, name: str, said: Mapping[str, object]) -> None:
        self.events.append(
            {
                "timeUnixNano": str(self.start_ns + round(at * SECOND)),
                "eventName": name,
                "traceId": run_id(self.name),
                "attributes": attributes_of(said),
            }
        )

    def _span(
        self, name: str, at: float, until: float, said: Mapping[str, object], *,
        failed: bool = False, parent: str | None = None,
    ) -> None:  # fmt: skip
        trace = run_id(self.name)
        place = f"{len(self.spans) + 1:016x}"
        root = "f" * 16
        self.spans.append(
            {
                "traceId": trace,
                "spanId": root if parent == "" else place,
                "parentSpanId": root if parent is None else parent,
                "name": name,
                "kind": 1,
                "startTimeUnixNano": str(self.start_ns + round(at * SECOND)),
                "endTimeUnixNano": str(self.start_ns + round(until * SECOND)),
                "attributes": attributes_of({**self.said, **said}),
                "status": {"code": 2} if failed else {},
            }
        )


def runs(start_ns: int) -> list[Told]:
    """All of them, beginning at `start_ns`, a second apart."""
    told: list[Told] = []

    def begin(name: str, department: str, task: str = "refund") -> Told:
        said = {
            "gen_ai.agent.name": "refund_agent",
            "agentrun.run.id": run_id(name),
            "agentrun.workspace": "globex",
            "agentrun.department": department,
            "agentrun.virtual_key": f"key-{department}",
            "agentrun.task.type": task,
        }
        made = Told(name=name, start_ns=start_ns + len(told) * SECOND, said=said)
        told.append(made)
        return made

    # A person is asked, and has not answered yet.
    waits = begin("waits", "sales")
    waits.event(0.0, "agentrun.run.started")
    waits.model(0.1, "gpt-4.1-mini", 1000, 100)
    ask(waits)

    # The same work with a small and a large model; the customer pays, a map is paid for.
    for number in (1, 2):
        small = begin(f"small-{number}", "care")
        small.model(0.1, "gpt-4.1-mini", 1000, 100)
        small.event(0.3, "agentrun.payment", payment__usd=0.25, payment__payee="maps-api")
        small.event(0.4, "agentrun.payment", payment__usd=2.0, payment__kind="revenue")
        small.root(0.5)
        large = begin(f"large-{number}", "sales")
        large.model(0.1, "gpt-4.1", 1000, 100)
        large.root(0.9)

    # A tool fails and is asked for again; the model that asks costs money, the tool does not.
    again = begin("retried", "care", "status")
    again.model(0.0, "gpt-4.1-mini", 1000, 10, calls=[("c1", "refund_status")])
    again.tool(0.2, "refund_status", "c1", error="timeout")
    again.model(0.3, "gpt-4.1-mini", 1100, 10, calls=[("c2", "refund_status")])
    again.tool(0.5, "refund_status", "c2")
    again.root(0.8)

    # A price that nobody knows.
    house = begin("house", "sales", "status")
    house.model(0.1, "house-model-7", 500, 50)
    house.root(0.3)

    # Around in circles until an operator ends it; the rule was right.
    loop = begin("loop", "care", "status")
    for turn in range(5):
        loop.model(turn * 0.2, "gpt-4.1-mini", 1000, 10, calls=[(f"c{turn}", "find_order")])
        loop.tool(turn * 0.2 + 0.1, "find_order", f"c{turn}")
    loop.event(
        1.0, "agentrun.decision", decision__kind="stop", decision__outcome="block",
        decision__reason="it goes in circles", actor="ops",
    )  # fmt: skip
    loop.event(1.1, "agentrun.run.ended", run__status="killed", stop__reason="killed_by_operator")
    loop.event(2.0, "agentrun.feedback", feedback__name="repeated-call",
               feedback__label="true_positive")  # fmt: skip
    loop.root(1.1, failed=True)

    # The same calls, and they were needed.
    polls = begin("polls", "sales", "status")
    for turn in range(4):
        polls.model(turn * 0.2, "gpt-4.1-mini", 1000, 10, calls=[(f"c{turn}", "find_order")])
        polls.tool(turn * 0.2 + 0.1, "find_order", f"c{turn}")
    polls.event(2.0, "agentrun.feedback", feedback__name="repeated-call",
                feedback__label="false_positive")  # fmt: skip
    polls.root(1.1)

    # The others who were asked: one says yes, one says no.
    for name, outcome, after in (("approved", "approved", 4.0), ("refused", "refused", 8.0)):
        asks = begin(name, "care")
        asks.model(0.1, "gpt-4.1-mini", 1000, 100)
        ask(asks)
        asks.event(
            after + 0.3, "agentrun.decision", decision__kind="approval", decision__outcome=outcome,
            approval__id="ap-1", actor="ops", decision__reason="as agreed",
        )  # fmt: skip
        asks.event(after + 0.3, "agentrun.run.resumed")
        if outcome == "refused":
            asks.event(after + 0.4, "agentrun.run.ended", run__status="killed",
                       stop__reason="rejected")  # fmt: skip
        asks.root(after + 0.5, failed=outcome == "refused")
    return told


def ask(told: Told) -> None:
    told.plain_event(
        0.3, "agentrun.approval.requested",
        {
            "agentrun.run.id": run_id(told.name), "agentrun.approval.id": "ap-1",
            "agentrun.approval.question": "Refund 900 USD?", "gen_ai.tool.name": "refund",
            "agentrun.decision.rule": "large-refunds",
        },
    )  # fmt: skip
    told.event(0.3, "agentrun.run.paused")


def attributes_of(said: Mapping[str, object]) -> list[Json]:
    kinds = {int: "intValue", float: "doubleValue", bool: "boolValue"}
    return [
        {"key": key, "value": {kinds.get(type(value), "stringValue"): value}}
        for key, value in said.items()
    ]


def answer(directive_id: str, at_ns: int) -> Told:
    """The application of the run that waits takes a directive."""
    told = Told(name="waits", start_ns=at_ns, said={})
    told.event(0.0, "agentrun.directive", directive__id=directive_id,
               directive__action="pause", directive__status="acknowledged")  # fmt: skip
    return told


def requests(told: list[Told]) -> tuple[Json, Json]:
    """Spans and events as two export requests."""
    resource = {
        "attributes": attributes_of(
            {"service.name": "refunds", "deployment.environment.name": ENVIRONMENT}
        )
    }
    scope = {"name": "governed"}
    sent = {"scope": scope, "spans": [span for one in told for span in one.spans]}
    logged = {"scope": scope, "logRecords": [event for one in told for event in one.events]}
    return (
        {"resourceSpans": [{"resource": resource, "scopeSpans": [sent]}]},
        {"resourceLogs": [{"resource": resource, "scopeLogs": [logged]}]},
    )
