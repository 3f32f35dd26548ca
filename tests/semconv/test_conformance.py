"""The check itself: what conforms is left alone, and every way not to is named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.semconv.conformance import check
from collector.semconv.problem import Observed, Severity, Signal
from collector.semconv.report import examine
from tests.semconv.builders import REGISTRY, a_span, an_event, problems, rules

KINDS = sorted(REGISTRY.spans)
EVENTS = sorted(REGISTRY.events)


# ------------------------------------------------------------------ what conforms


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_span_of_ours_can_conform(kind: str, everything: bool) -> None:
    """Issue 3: a span with what is required, and one with everything the registry lists."""
    assert rules(a_span(kind, everything=everything)) == []


@pytest.mark.parametrize("everything", [False, True])
@pytest.mark.parametrize("name", EVENTS)
def test_each_event_of_ours_can_conform(name: str, everything: bool) -> None:
    assert rules(an_event(name, everything=everything)) == []


def test_others_spans_and_their_attributes_are_let_be() -> None:
    """What is not ours and not GenAI is nobody's business here."""
    seen = Observed(signal=Signal.SPAN, name="GET /", kind="server",
                    attributes={"http.route": "/", "app.x": [1, "a"]})  # fmt: skip
    assert rules(seen) == []


def test_what_is_stamped_on_foreign_spans_conforms() -> None:
    """The processor puts run, step id and labels on every span inside of a run."""
    stamped = {"agentrun.run.id": "r", "agentrun.step.id": 4, "agentrun.tag.team": "blue",
               "agentrun.feature_flag.fast": "on", "agentrun.workspace": "w"}  # fmt: skip
    seen = Observed(signal=Signal.SPAN, name="SELECT", kind="client", attributes=stamped)
    assert rules(seen) == []


# ------------------------------------------------------------------ what does not


@pytest.mark.parametrize("kind", KINDS)
def test_each_required_attribute_of_a_span_is_asked_for(kind: str) -> None:
    """Without the kind it is a foreign span: that one cannot be missed."""
    required = [use.key for use in REGISTRY.spans[kind].uses.values() if use.level == "required"]
    for key in required:
        if key != "agentrun.step.kind":
            assert rules(a_span(kind, attributes={key: None})) == [("missing", key)]


@pytest.mark.parametrize("name", EVENTS)
def test_each_required_attribute_of_an_event_is_asked_for(name: str) -> None:
    for use in REGISTRY.events[name].uses.values():
        if use.level == "required":
            assert ("missing", use.key) in rules(an_event(name, attributes={use.key: None}))


@pytest.mark.parametrize(
    ("seen", "key"),
    [
        (a_span("tool", failed=True), "error.type"),
        (a_span("tool", attributes={"agentrun.step.role": "handoff"}), "agentrun.handoff.to"),
        (a_span("tool", attributes={"agentrun.tool.arguments_valid": False}),
         "agentrun.tool.arguments_error"),
        (a_span("run", attributes={"gen_ai.operation.name": "invoke_workflow"}),
         "gen_ai.workflow.name"),
        (an_event("agentrun.directive", attributes={"agentrun.directive.action": "kill"}),
         "agentrun.stop.reason"),
    ],
)  # fmt: skip
def test_conditions_that_can_be_read_are_checked(seen: Observed, key: str) -> None:
    """A failed step says its error (S5.29), a handoff its recipient (S5.47)."""
    assert rules(seen) == [("missing", key)]


@pytest.mark.parametrize(
    ("change", "rule", "key"),
    [
        ({"agentrun.tool.versions": "v3"}, "unknown_name", "agentrun.tool.versions"),
        ({"agentrun.step.id": "7"}, "wrong_type", "agentrun.step.id"),
        ({"agentrun.cost.usd": "0.5"}, "wrong_type", "agentrun.cost.usd"),
        ({"agentrun.tool.arguments_valid": "true"}, "wrong_type", "agentrun.tool.arguments_valid"),
        ({"gen_ai.tool.call.id": 5}, "wrong_type", "gen_ai.tool.call.id"),
        ({"agentrun.tag.x": 1}, "wrong_type", "agentrun.tag.x"),
        ({"agentrun.step.status": "ok"}, "value_not_allowed", "agentrun.step.status"),
        ({"gen_ai.operation.name": "chat"}, "value_not_allowed", "gen_ai.operation.name"),
        ({"agentrun.tool.version": None, "gen_ai.tool.name": ""}, "missing", "gen_ai.tool.name"),
    ],
)
def test_violations_in_attributes(change: dict[str, Any], rule: str, key: str) -> None:
    """Names, types, values: each once, and a violation."""
    (problem,) = problems(a_span("tool", attributes=change))
    assert (problem.severity, problem.rule, problem.attribute) == (Severity.VIOLATION, rule, key)
    assert all((problem.what, problem.why, problem.fix, problem.where))


def test_a_kind_that_does_not_exist_is_one_violation() -> None:
    seen = a_span("tool", attributes={"agentrun.step.kind": "think"})
    assert ("value_not_allowed", "agentrun.step.kind") in rules(seen)


def test_a_step_is_named_by_its_kind_and_has_a_span_kind() -> None:
    """`agent.tool search`; a model call may be in the process (INTERNAL)."""
    assert rules(a_span("tool", name="search")) == [("wrong_name", "")]
    assert rules(a_span("tool", name="agent.toolbox")) == [("wrong_name", "")]
    assert rules(a_span("tool", name="agent.tool")) == []
    assert rules(a_span("tool", kind="server")) == [("wrong_span_kind", "")]
    assert rules(a_span("model", kind="internal")) == []


def test_a_check_has_no_genai_operation() -> None:
    """No convention has one for guardrails; `apply_guardrail` is a proposal."""
    seen = a_span("validate", attributes={"gen_ai.operation.name": "apply_guardrail"})
    assert ("value_not_allowed", "gen_ai.operation.name") in rules(seen)


def test_tokens_on_a_run_are_advised_against() -> None:
    """They would be added to those of its model calls (promise 4)."""
    (problem,) = problems(a_span("run", attributes={"gen_ai.usage.input_tokens": 10}))
    assert (problem.severity, problem.rule) == (Severity.ADVICE, "not_expected")


def test_typing_mistakes_are_recognized() -> None:
    (problem,) = problems(a_span("tool", attributes={"agentrun.tool.arg_hash": "x"}))
    assert problem.fix == "did you mean agentrun.tool.args_hash?"
    (problem,) = problems(an_event("agentrun.finding", attributes={"agentrun.finding.kind": "lop"}))
    assert problem.fix == "did you mean loop?"


def test_events_name_their_run() -> None:
    """By trace, or by id; else they belong nowhere.  The collector's own may be about many."""
    feedback: dict[str, Any] = {"in_trace": False}
    assert rules(an_event("agentrun.feedback", **feedback)) == [("no_run", "agentrun.run.id")]
    named: dict[str, Any] = {"attributes": {"agentrun.run.id": "r"}}
    assert rules(an_event("agentrun.feedback", **feedback, **named)) == []
    assert rules(an_event("agentrun.erased", in_trace=False)) == []


def test_an_event_that_does_not_exist() -> None:
    seen = Observed(signal=Signal.EVENT, name="agentrun.run.start", in_trace=True, attributes={})
    (problem,) = problems(seen)
    assert (problem.rule, problem.fix) == ("unknown_event", "did you mean agentrun.run.started?")


def test_a_step_report_may_carry_what_its_span_may() -> None:
    """A report of a tool's end has the tool's attributes, and is not asked for all of them."""
    tool = {"agentrun.step.kind": "tool", "gen_ai.tool.name": "search"}
    assert rules(an_event("agentrun.run.step", attributes=tool)) == []
    model = {"agentrun.step.kind": "model", "gen_ai.tool.name": "search"}
    assert rules(an_event("agentrun.run.step", attributes=model)) == [
        ("not_expected", "gen_ai.tool.name")
    ]


def test_a_whole_number_is_an_amount() -> None:
    """JavaScript has one kind of number, and its SDK sends 1.0 as an integer."""
    assert rules(a_span("tool", attributes={"agentrun.cost.usd": 1})) == []
    assert rules(a_span("tool", attributes={"agentrun.cost.usd": True})) == [
        ("wrong_type", "agentrun.cost.usd")
    ]


def test_events_may_carry_what_is_stamped_on_everything() -> None:
    """S4.8: run, request and step ids are on every log record inside of a run."""
    stamped = {"agentrun.run.id": "r", "agentrun.request.id": "q", "agentrun.step.id": 3,
               "session.id": "s", "agentrun.tag.team": "blue"}  # fmt: skip
    for name in EVENTS:
        assert rules(an_event(name, attributes=stamped)) == []


# ------------------------------------------------------------------ others' telemetry


def test_foreign_genai_spans_get_advice_only() -> None:
    """Nobody can change what an instrumentation sends; a check of a capture must not fail on it."""
    seen = Observed(
        signal=Signal.SPAN, name="chat", kind="client",
        attributes={"gen_ai.operation.name": "chat", "gen_ai.usage.prompt_tokens": 3,
                    "gen_ai.request.max_tokens": "100"},
    )  # fmt: skip
    found = problems(seen)
    assert {problem.severity for problem in found} == {Severity.ADVICE}
    assert [(problem.rule, problem.attribute) for problem in found] == [
        ("renamed", "gen_ai.usage.prompt_tokens"),
        ("wrong_type", "gen_ai.request.max_tokens"),
        ("missing", "gen_ai.provider.name"),
    ]


def test_an_older_name_counts_as_there() -> None:
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai"}
    seen = Observed(signal=Signal.SPAN, name="chat", kind="client", attributes=attributes)
    assert rules(seen) == [("renamed", "gen_ai.system")]


# ------------------------------------------------------------------ any telemetry

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
VALUES = st.recursive(SCALARS, lambda v: st.lists(v) | st.dictionaries(st.text(), v), max_leaves=5)
KEYS = st.sampled_from(sorted(REGISTRY.attributes)) | st.text()


@given(
    signal=st.sampled_from(Signal),
    name=st.sampled_from([*EVENTS, "agent.tool x"]) | st.text(),
    attributes=st.dictionaries(KEYS, VALUES, max_size=8),
    kind=st.sampled_from(KINDS) | VALUES,
)
def test_whatever_is_sent_is_judged(
    signal: Signal, name: str, attributes: dict[str, Any], kind: Any
) -> None:
    """Bad input is the subject here: it never stops a check, and problems are complete."""
    seen = Observed(signal=signal, name=name, attributes={**attributes, "agentrun.step.kind": kind})
    for problem in check(seen, REGISTRY):
        assert problem.rule
        assert problem.what
        assert problem.why
        assert problem.fix


def test_equal_problems_are_counted_together() -> None:
    """A run of thousands of spans makes the same mistake thousands of times."""
    wrong = [a_span("tool", name="search", where=f"span {n}") for n in range(10)]
    right = [a_span("tool"), a_span("model")]
    report = examine([*wrong, *right], REGISTRY)

    (found,) = report.found
    assert (found.count, found.where) == (10, ["span 0", "span 1", "span 2"])
    assert not report.conforms
    assert report.steps == {"tool": 11, "model": 1}
    assert report.document()["violations"] == 10
