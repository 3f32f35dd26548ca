"""Spans of an invented application, for what neither the demo nor the captures have: a tool whose
new version refuses arguments, calls that go in circles, checks that fail, documents with versions.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ENVIRONMENT: Final = "workshop"
SECOND_NS: Final = 1_000_000_000
DAY_SECS: Final = 86_400

Attributes = dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Trace:
    """One run, its steps one second apart."""

    number: int
    began_ns: int
    agent: str = "clerk"
    attributes: Attributes = field(default_factory=dict)
    error: tuple[str, str] = ("", "")
    """Type and message with which the run itself ended."""
    steps: list[dict[str, Any]] = field(default_factory=list)

    def step(
        self,
        name: str,
        kind: str,
        attributes: Attributes | None = None,
        *,
        error: tuple[str, str] = ("", ""),
        secs: float = 0.5,
    ) -> Trace:
        at = self.began_ns + (len(self.steps) + 1) * SECOND_NS
        said = {"agentrun.step.kind": kind} if kind else {}
        self.steps.append(
            self._span(
                f"{self.number:08x}{len(self.steps) + 1:08x}", name, at,
                at + int(secs * SECOND_NS), {**said, **(attributes or {})}, error,
            )
        )  # fmt: skip
        return self

    def tool(self, name: str, arguments: object, **rest: Any) -> Trace:
        version = rest.pop("version", "")
        said: Attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.arguments": json.dumps(arguments),
            **({"agentrun.tool.version": version} if version else {}),
            **rest.pop("attributes", {}),
        }
        return self.step(f"agent.tool {name}", "tool", said, **rest)

    def spans(self) -> list[dict[str, Any]]:
        """The run's own span last, as it ends last."""
        end = self.began_ns + (len(self.steps) + 2) * SECOND_NS
        said = {
            "agentrun.step.kind": "run",
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self.agent,
            "agentrun.run.id": f"workshop-{self.number}",
            **self.attributes,
        }
        root = self._span(
            f"{self.number:08x}{0:08x}", f"agent.run {self.agent}", self.began_ns, end, said,
            self.error,
        )  # fmt: skip
        return [*({**one, "parentSpanId": root["spanId"]} for one in self.steps), root]

    def _span(
        self, span_id: str, name: str, start: int, end: int, said: Attributes,
        error: tuple[str, str],
    ) -> dict[str, Any]:  # fmt: skip
        status = {"code": 2, "message": error[1]} if error[0] else {"code": 0}
        said = {**said, "error.type": error[0]} if error[0] else said
        return {
            "traceId": f"{self.number:032x}",
            "spanId": span_id,
            "name": name,
            "startTimeUnixNano": str(start),
            "endTimeUnixNano": str(end),
            "attributes": attributes_of(said),
            "status": status,
        }


def attributes_of(said: Attributes) -> list[dict[str, Any]]:
    def value(one: object) -> dict[str, Any]:
        if isinstance(one, bool):
            return {"boolValue": one}
        if isinstance(one, int):
            return {"intValue": str(one)}
        return {"doubleValue": one} if isinstance(one, float) else {"stringValue": str(one)}

    return [{"key": key, "value": value(one)} for key, one in said.items()]


def request(traces: list[Trace], scope: str = "otel_agentrun") -> dict[str, Any]:
    """An export request."""
    resource = {"service.name": "workshop", "deployment.environment.name": ENVIRONMENT}
    spans = [span for trace in traces for span in trace.spans()]
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes_of(resource)},
                "scopeSpans": [{"scope": {"name": scope}, "spans": spans}],
            }
        ]
    }


def written(folder: Path, began_ns: int) -> Path:
    """A file as `agentrun ingest` reads it; the runs begin ten seconds apart from `began_ns` on."""
    numbers = itertools.count(1)

    def trace(**given: Any) -> Trace:
        number = next(numbers)
        return Trace(number=number, began_ns=began_ns + number * 10 * SECOND_NS, **given)

    made = list(_runs(trace))
    flat = [_flat_documents(trace)]
    path = folder / "workshop.otlp.json"
    lines = [request(made), request(flat, "openinference.instrumentation.langchain")]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


REFUSED: Final = ("validation_error", "amount: expected a number")
LATE: Final = ("timeout", "the order service did not answer within 5 s")


def _runs(trace: Any) -> Iterator[Trace]:
    for _ in range(6):  # the old version of the tool works
        yield trace().tool("create_refund", {"amount": 5}, version="v2")
    for at in range(4):  # the new one refuses what the model sends
        yield trace(error=("ToolError", "no refund")).tool(
            "create_refund", {"amount": f"{at} EUR"}, version="v3", error=REFUSED
        )
    for _ in range(2):  # tried again, and again in vain
        yield (
            trace(error=("ToolError", "no order"))
            .tool("find_order", {"id": 7}, error=LATE, secs=5)
            .tool("find_order", {"id": 7}, error=LATE, secs=5)
        )
    for _ in range(4):
        limit = ("rate_limit", "429")
        yield trace(error=limit).step("chat", "model", {"gen_ai.request.model": "m-1"}, error=limit)
    circling = trace(attributes={"agentrun.tool.contract_version": "t-4"})
    for at in range(6):
        circling.tool("search", {"text": f"refund {at}"})
    for _ in range(3):
        circling.tool("read", {"page": 1})
    yield circling
    yield trace().step(
        "agent.validate refund-limit",
        "validate",
        {
            "agentrun.validation.kind": "policy",
            "agentrun.validation.rule": "refund-limit",
            "agentrun.validation.outcome": "fail",
            "agentrun.validation.explanation": "amount 900 is above 500",
        },
    ).tool(
        "create_refund", {"amount": 900}, version="v3",
        attributes={
            "agentrun.tool.arguments_valid": False,
            "agentrun.tool.arguments_error": "currency is missing",
        },
    )  # fmt: skip
    yield from _retrievals(trace)


def _retrievals(trace: Any) -> Iterator[Trace]:
    found = [
        {"id": "terms", "score": 0.7, "reranker_score": 0.2, "version": "2020-01-01"},
        {"id": "faq", "score": 0.6, "reranker_score": 0.9, "version": "7"},
    ]
    said = {
        "gen_ai.operation.name": "retrieval",
        "agentrun.retrieval.collection": "rules",
        "agentrun.retrieval.embedding_model": "embed-1",
        "agentrun.retrieval.reranker": "rerank-3",
        "agentrun.retrieval.filters": '{"lang":"en"}',
        "agentrun.retrieval.index_version": "i-9",
        "gen_ai.retrieval.top_k": 5,
        "gen_ai.retrieval.query.text": "refund after a year",
    }
    for _ in range(3):
        listed = {
            "gen_ai.retrieval.documents": json.dumps(found), "agentrun.retrieval.hit_count": 2,
        }  # fmt: skip
        yield trace(agent="librarian").step("agent.retrieve rules", "retrieve", {**said, **listed})
    removed = [{"id": "secret-1", "reason": "permission"}, {"id": "old-2", "reason": "age"}]
    nothing = {
        "agentrun.retrieval.hit_count": 0,
        "agentrun.retrieval.removed_count": 2,
        "agentrun.retrieval.removed": json.dumps(removed),
    }
    yield trace(agent="librarian", error=("ValueError", "nothing to say")).step(
        "agent.retrieve rules", "retrieve", {**said, **nothing}
    )


def _flat_documents(trace: Any) -> Trace:
    """As OpenInference sends them."""
    made: Trace = trace(agent="librarian", attributes={"openinference.span.kind": "AGENT"})
    began_secs = made.began_ns // SECOND_NS
    said: Attributes = {"openinference.span.kind": "RETRIEVER", "input.value": "opening hours"}
    for at, (name, score, age_days) in enumerate([("hours", 1.5, 10), ("map", 0.5, 730)]):
        changed = began_secs - age_days * DAY_SECS
        said |= {
            f"retrieval.documents.{at}.document.id": name,
            f"retrieval.documents.{at}.document.content": "text " * 10,
            f"retrieval.documents.{at}.document.score": score,
            f"retrieval.documents.{at}.document.metadata": json.dumps({"updated_at": changed}),
        }
    return made.step("VectorStoreRetriever", "", said)
