"""What every dialect keeps to, whichever emitter it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_agentrun import dialects
from otel_agentrun.dialects import driver, hearsay, transport
from otel_agentrun.dialects.shapes import SHAPES_MAX, Shapes
from otel_agentrun.step import Event, Kind, Role, SpanEvent, SpanView, Step, as_number, as_text
from tests.support import captures

MODULES = [*dialects.MODULES, transport]
IDS = [module.__name__.rpartition(".")[2] for module in MODULES]


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_a_dialect_names_its_source_and_has_tables(module: Any) -> None:
    """A reader must be able to check a key against where it comes from."""
    assert "Source" in (module.__doc__ or "")
    assert isinstance(module.NAME, str)
    assert all(isinstance(keys, tuple) and keys for keys in module.KEYS.values())
    assert all(isinstance(kind, Kind) for kind in getattr(module, "KINDS", {}).values())


@pytest.mark.parametrize("module", MODULES, ids=IDS)
def test_every_key_of_a_table_is_handed_over(module: Any) -> None:
    """A key that both predicates deny would never reach the table that reads it."""
    for keys in module.KEYS.values():
        for key in keys:
            assert dialects.is_logic_key(key) or dialects.is_root_key(key)
    for key in getattr(module, "ALSO_READ", ()):
        assert dialects.is_logic_key(key)
    for prefix in getattr(module, "PREFIXES", {}):
        key = prefix.replace("*", "openai") if "*" in prefix else prefix + "0.message.role"
        assert dialects.is_logic_key(key)


def test_an_unmarked_span_is_recognized_by_none() -> None:
    bare = SpanView(trace_id="a", span_id="b", attributes={"some.key": "1"})

    assert not any(dialect.recognizes(bare) for dialect in dialects.ORDER)
    assert dialects.step(bare).kind is Kind.OTHER
    assert dialects.step(bare).dialect == ""


@pytest.mark.parametrize(
    "key", ["http.request.method", "http.method", "db.system", "rpc.system", "messaging.system"]
)
def test_plumbing_is_transport(key: str) -> None:
    """HTTP, RPC, database and messaging spans stay in the tree and say nothing about the agent."""
    step = dialects.step(SpanView(trace_id="a", span_id="b", attributes={key: "x"}))

    assert (step.kind, step.role) == (Kind.OTHER, Role.TRANSPORT)


@pytest.mark.parametrize("source", captures.sources())
def test_logic_keys_are_all_that_a_step_needs(source: str) -> None:
    """The collector hands over only these; `input` adds but its size and structure, on roots."""
    for span in captures.spans(captures.folder(source)):
        whole = dialects.step(span)
        span.attributes = {
            key: value for key, value in span.attributes.items() if dialects.is_logic_key(key)
        }
        part = dialects.step(span)
        assert part == replace(
            whole, input_bytes=part.input_bytes, input_structure=part.input_structure
        )


@pytest.mark.parametrize("source", captures.sources())
def test_text_and_typed_values_give_the_same_step(source: str) -> None:
    """The collector's columns hold text, the span processor sees the SDK's values."""
    path = captures.folder(source)
    as_text, typed = captures.spans(path), captures.spans(path, text=False)

    for one, other in zip(as_text, typed, strict=True):
        assert dialects.step(one) == dialects.step(other)
        assert dialects.content(one).input == dialects.content(other).input


class Recording(Mapping[str, Any]):
    """Attributes that remember which keys were asked for one by one."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values_ = values
        self.asked: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return self.values_[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)

    def items(self) -> Any:
        return self.values_.items()


@pytest.mark.parametrize("source", captures.sources())
def test_content_keys_are_all_that_content_reads(source: str) -> None:
    """The store loads only these columns to show a step."""
    for span in captures.spans(captures.folder(source)):
        whole = dialects.content(span)
        span.attributes = {
            key: value for key, value in span.attributes.items() if dialects.is_content_key(key)
        }
        assert dialects.content(span) == whole


def test_only_asked_keys_that_are_declared_are_read_singly() -> None:
    """A key that `kind` or `role` reads behind the table's back must be in `ALSO_READ`."""
    for source in captures.sources():
        for span in captures.spans(captures.folder(source)):
            recording = Recording(span.attributes)
            span.attributes = recording
            dialects.step(span)
            # The table's keys are asked for, too: an input's is handed over for roots.
            asked = {key for key in recording.asked if not dialects.is_root_key(key)}
            assert {key for key in asked if not dialects.is_logic_key(key)} == set()


def every_key() -> list[str]:
    keys = {key for dialect in dialects.ALL for key in dialect.table}
    keys |= {key for dialect in dialects.ALL for key in dialect.also_read}
    keys |= {
        key for dialect in dialects.ALL for names in dialect.content_keys.values() for key in names
    }
    keys |= {
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name",
        "llm.output_messages.99999999999999999999.message.role",
        "llm.input_messages.0.message.contents.0.message_content.text",
        "retrieval.documents.1.document.content",
        "gen_ai.prompt.0.content",
        "gen_ai.completion.0.tool_calls.0.name",
        "agentrun.tag.x",
        "agentrun.feature_flag.y",
        "gen_ai.prompt.variable.z",
    }
    return sorted(keys)


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["role", "parts", "content", "type", "data", "kwargs", "lc", "id", "tool_calls",
             "message", "function", "name", "arguments", "toolUse", "toolResult", "text",
             "response", "messages"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip
JUNK = st.one_of(
    JSONISH,
    JSONISH.map(repr),
    st.text(max_size=20),
    st.sampled_from(
        ["chat", "invoke_agent", "execute_tool", "retrieval", "AGENT", "LLM", "TOOL", "RETRIEVER",
         "run", "tool", "NaN", "Infinity", "-1", "1e400", "9" * 5000, "[" * 2000, "{" * 200,
         "\x00", "\ud800", "<class 'a.B'>", "true",
         '[{"role":"assistant","parts":[{"type":"tool_call","name":"f"}]}]']
    ),
    st.lists(st.text(max_size=5), max_size=3).map(tuple),
    st.binary(max_size=5),
)  # fmt: skip
KEYS = every_key()
ATTRIBUTES = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), JUNK, max_size=14)
EVENTS = st.lists(
    st.builds(
        SpanEvent,
        st.sampled_from(["exception", "gen_ai.choice", "gen_ai.tool.message", "x"])
        | st.sampled_from(["gen_ai.client.inference.operation.details", "gen_ai.user.message"]),
        st.just(1),
        st.dictionaries(
            st.sampled_from(
                ["exception.type", "exception.message", "exception.escaped", "content", "message",
                 "finish_reason", "gen_ai.output.messages", "gen_ai.input.messages"]
            ),
            JUNK,
            max_size=3,
        ),
    ),
    max_size=3,
)  # fmt: skip
VIEWS = st.builds(
    SpanView,
    trace_id=st.just("a"),
    span_id=st.just("b"),
    name=st.sampled_from(["chat", "agent", "handoff to x", "", "LangGraph"]),
    scope=st.sampled_from(
        [
            "",
            "openinference.instrumentation.langchain",
            "openinference.instrumentation.openai_agents",
        ]
    ),
    status_code=st.sampled_from(["Unset", "Ok", "Error"]),
    status_message=st.text(max_size=20) | st.just("Boom('x')Traceback (most recent call last)\n"),
    attributes=ATTRIBUTES,
    events=EVENTS,
)
LOG_NAMES = ["gen_ai.choice", "gen_ai.user.message", *sorted(hearsay.NAMES)]
SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@SETTINGS
@given(VIEWS)
def test_no_attributes_make_a_dialect_raise(span: SpanView) -> None:
    """`step()` guards against it; the dialects themselves must not need the guard."""
    step = driver.read(span, dialects.SHAPES.of(span))

    assert isinstance(step, Step)
    assert hash((step.kind, step.status, step.tool_requests, step.usage)) is not None
    assert len(step.error_message) <= 300


@SETTINGS
@given(VIEWS, st.lists(st.tuples(st.sampled_from(LOG_NAMES), JUNK)))
def test_no_content_makes_reading_raise(span: SpanView, logs: list[tuple[str, Any]]) -> None:
    records = [
        Event(
            event_id=str(at),
            name=name,
            at_ns=at,
            attributes={"gen_ai.input.messages": as_text(body)},
            body=body if isinstance(body, str) else as_text(body),
        )
        for at, (name, body) in enumerate(logs)
    ]

    dialects.content(span, records)
    dialects.told_content(span, records)
    for record in records:
        dialects.event_step_fields(record)
        if record.name in hearsay.NAMES:
            hearsay.read(record)


def test_a_dialect_that_raises_costs_its_span_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Promise 6: one bad span never refuses its batch."""

    def broken(span: SpanView) -> Kind:
        raise RuntimeError("a bug")

    genai = next(dialect for dialect in dialects.ORDER if dialect.name == "genai")
    monkeypatch.setattr(genai, "kind", broken)
    span = SpanView(
        trace_id="a", span_id="b", name="x", attributes={"gen_ai.operation.name": "chat"}
    )

    step = dialects.step(span)
    assert (step.span_id, step.name, step.kind) == ("b", "x", Kind.OTHER)


def test_a_step_that_is_read_is_what_its_constructor_gives() -> None:
    """The driver assigns fields one by one: it must not forget one, nor differ from a default."""
    made = dialects.step(
        SpanView(
            trace_id="a",
            span_id="b",
            name="n",
            scope="s",
            attributes={"gen_ai.operation.name": "chat"},
        )
    )

    assert type(made) is Step
    assert made == Step(
        trace_id="a", span_id="b", name="n", scope="s", kind=Kind.MODEL, dialect="genai"
    )
    assert {field.name for field in fields(Step) if not hasattr(made, field.name)} == set()


@SETTINGS
@given(VIEWS)
def test_values_do_not_decide_who_reads_a_span(span: SpanView) -> None:
    """`recognizes` sees scope and keys: its answer is remembered for all spans with the same."""
    emptied = SpanView(
        trace_id="a", span_id="b", scope=span.scope, attributes=dict.fromkeys(span.attributes, "")
    )

    for dialect in dialects.ORDER:
        assert dialect.recognizes(span) == dialect.recognizes(emptied)


def test_shapes_are_forgotten_when_there_are_too_many() -> None:
    """Keys come from strangers: what is remembered of them is bounded."""
    shapes = Shapes(dialects.ORDER, dialects.UNRECOGNIZED)

    for number in range(SHAPES_MAX + 10):
        keys = {"gen_ai.operation.name": "chat", f"key.{number}": "x"}
        shape = shapes.of(SpanView(trace_id="a", span_id="b", attributes=keys))
        assert shape.dialect.name == "genai"
    assert len(shapes) <= SHAPES_MAX


def test_a_number_too_large_for_a_float_is_no_number() -> None:
    """Sent as an attribute, it must not cost the span its step."""
    assert as_number(10**400) is None
    assert as_number("1" + "0" * 400) is None
