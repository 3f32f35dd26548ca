"""An explanation says what the fold did, never something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collector.config import Config
from collector.explain import explain_file
from collector.runs.explain import explained
from collector.runs.group import TraceGroup
from collector.runs.run import PlacedStep, Run
from otel_agentrun import dialects
from otel_agentrun.dialects.explain import explain
from otel_agentrun.step import Kind, Role, SpanView, Step, Usage
from tests.runs.builders import a_step
from tests.support import captures
from tests.support.truth import assembled, load


@pytest.mark.parametrize("source", captures.sources())
def test_every_span_of_a_capture_is_explained(source: str) -> None:
    """Dialect and kind are the step's, a count is the fold's; spans are in a run or outside."""
    changes, _ = assembled(replace(load(source), events=()))  # the file has spans alone
    placed = {(p.step.trace_id, p.step.span_id, p.run_id): p for p in changes.steps}
    document = explain_file(Config(), captures.folder(source) / "traces.otlp.json")

    spans = [(run["run_id"], span) for run in document["runs"] for span in run["spans"]]
    assert {run["run_id"] for run in document["runs"]} == {run.run_id for run in changes.runs}
    for run_id, span in spans:
        each = placed[span["trace_id"], span["span_id"], run_id]
        assert (span["kind"], span["counted"]) == (each.step.kind.value, each.counted)
        assert (span["dialect"] or "") == each.step.dialect
        assert span["why"].startswith(("counted", "describes")) == (
            each.counted or bool(each.duplicate_of)
        )
    seen = {(span["trace_id"], span["span_id"]) for _, span in spans}
    seen |= {(span["trace_id"], span["span_id"]) for span in document["outside"]}
    assert {(v.trace_id, v.span_id) for v in captures.spans(captures.folder(source))} <= seen


@pytest.mark.parametrize("source", captures.sources())
def test_a_field_has_the_value_of_the_attribute_that_is_named(source: str) -> None:
    """The same tables: without the named attribute the step has another value, or none."""
    checked = 0
    for view in captures.spans(captures.folder(source))[:40]:
        for name, key, _ in explain(view).fields:
            if name not in ("model", "agent_name", "tool_name", "response_id"):
                continue
            read = getattr(dialects.step(view), name)
            assert _spelled(read) == _spelled(str(view.attributes[key])) or not read
            checked += 1
    assert checked or source in ("crewai", "haystack", "dspy")


def _spelled(name: str) -> str:
    """A dialect may spell a tool's title as its name; MLflow sends JSON, with quotes."""
    return name.lower().replace(" ", "_").strip('"')


def whys(*steps: Step) -> dict[str, str]:
    group = TraceGroup()
    for step in steps:
        group.add(step)
    changes = group.changes()
    [run] = changes.runs
    document = explained(run, changes.steps, {})
    return {span["name"]: span["why"] for span in document["spans"]}


def named(name: str, span: int, parent: int, kind: Kind, **fields: Any) -> Step:
    return a_step(span, parent, kind=kind, name=name, **fields)


USED = Usage(input_tokens=1, output_tokens=1)


def test_why_a_span_does_not_count() -> None:
    found = whys(
        named("root", 1, 0, Kind.RUN, role=Role.AGENT, usage=USED, dialect="d"),
        named("outer", 2, 1, Kind.MODEL, usage=USED, dialect="d"),
        named("inner", 3, 2, Kind.MODEL, usage=USED, dialect="d"),
        named("GET", 4, 1, Kind.OTHER, role=Role.TRANSPORT),
        named("node", 5, 1, Kind.OTHER, role=Role.NODE, dialect="d"),
        named("my agent", 6, 1, Kind.OTHER),
        named("plain", 7, 1, Kind.OTHER),
        named("create_agent x", 8, 1, Kind.OTHER, dialect="d"),
    )

    assert found["root"].startswith("the run itself; its tokens are a sum")
    assert found["outer"].startswith("describes the same model call as ")
    assert found["inner"] == "counted as a model step"
    assert found["GET"].startswith("transport")
    assert found["node"].startswith("an inner node")
    assert "map it" in found["my agent"]
    assert found["plain"] == "no dialect reads it"
    assert found["create_agent x"] == "its operation is no step"


def test_the_aggregate_that_is_used_says_so() -> None:
    found = whys(named("root", 1, 0, Kind.RUN, role=Role.AGENT, usage=USED))

    assert found["root"].endswith("its tokens are the run's, as no model span came")


def test_the_root_of_a_child_run_is_named() -> None:
    step = a_step(2, 1, kind=Kind.RUN, role=Role.AGENT)
    placed = PlacedStep(
        step=step, run_id="r", group_id="g", revision=1, counted=False, child_run_id="r-c"
    )
    document = explained(Run(run_id="r", group_id="g"), [placed], {})

    assert document["spans"][0]["why"].startswith("the root of child run r-c")


def test_attributes_that_nobody_reads_are_listed() -> None:
    """What a mapping could name."""
    view = SpanView(
        trace_id="a",
        span_id="b",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m-1",
            "acme.x": "1",
        },
    )
    read = explain(view)

    assert read.dialect == "genai"
    assert read.decided_by == {"gen_ai.operation.name": "chat"}
    assert ("model", "gen_ai.response.model", "m-1") in read.fields
    assert list(read.unread) == ["acme.x"]
