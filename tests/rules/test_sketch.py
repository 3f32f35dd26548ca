"""Sketches: what two calls have in common, and nothing that a policy keeps out."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentrun import dialects
from otel_agentrun.redact import Redactor, RedactSettings
from otel_agentrun.sketch import WORDS_MAX, of_another, read, similarity, sketch
from otel_agentrun.step import Kind, SpanView
from otel_agentrun.structure import structure

CALL = {"query": "ACME Q3 revenue", "limit": 10}


def common(one: Any, other: Any) -> float:
    return similarity(read(sketch(one)), read(sketch(other)))


def another(one: Any, other: Any) -> bool:
    return of_another(read(sketch(one)), read(sketch(other)))


def test_words_in_common_are_told() -> None:
    assert common(CALL, CALL) == 1.0
    assert common({"query": "ACME Q3 revenue"}, {"query": "ACME Q3 revenue figure"}) == 0.75
    assert common({"query": "ACME Q3 revenue"}, {"query": "Acme, Q3: revenue?"}) == 1.0
    assert common({"query": "tea"}, {"query": "coffee"}) == 0.0
    assert common({}, CALL) == 0.0


def test_another_value_of_an_argument_is_another_thing() -> None:
    """`ok` for each of many updates is not the same call in other words."""
    assert another({"id": 17, "status": "done"}, {"id": 18, "status": "done"})
    assert another(
        {"to": "ann@example.com", "text": "the bill is due"},
        {"to": "bob@example.com", "text": "the bill is due"},
    )
    assert another({"id": 17}, {"name": "Ann"})
    assert not another({"query": "ACME revenue"}, {"query": "revenue of ACME", "limit": 5})
    assert not another({"query": "tea", "exact": True}, {"query": "tea", "exact": False})


@pytest.mark.parametrize(
    "spelled",
    [
        json.dumps(CALL),
        json.dumps(CALL, indent=2),
        repr(CALL),
        json.dumps({"args": [], "kwargs": CALL}),
        json.dumps({"input_str": repr(CALL), "tags": ["seq:step:1"]}),
        {"kwargs": CALL},
    ],
)
def test_the_spelling_does_not_matter(spelled: Any) -> None:
    """As with digests: emitters write one call in many ways."""
    assert common(spelled, CALL) == 1.0


def test_scripts_without_spaces_have_words_too() -> None:
    assert common({"q": "第三季度收入"}, json.dumps({"q": "第三季度收入数字"})) > 0.5


def test_long_texts_are_sampled_alike() -> None:
    """Of a long text the words with the smallest hashes: where only the end differs, and where one
    argument is long, the other one still tells."""
    words = [f"word{number}" for number in range(300)]
    text, changed = " ".join(words), " ".join([*words[:290], "another end"])

    assert len(sketch({"text": text})) <= 6 * WORDS_MAX
    assert common({"text": text}, {"text": changed}) > 0.8
    assert common({"text": text}, {"text": " ".join(f"w{n}" for n in range(300))}) == 0.0
    assert another({"path": "a.py", "text": text}, {"path": "b.py", "text": text})


def test_it_is_the_same_in_every_process() -> None:
    """It is stored, and compared by another process after a restart."""
    code = f"from otel_agentrun.sketch import sketch; print(sketch({CALL!r}), end='')"
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.stdout == sketch(CALL)


@pytest.mark.parametrize(
    "given",
    [CALL, {"query": 'say "no"\n'}, "Ann Smith, 17 Baker Street", '["a", "b"]', {"type": 1}],
)
def test_of_a_structure_there_is_no_sketch(given: Any) -> None:
    """S3.13: a 16-bit hash of a word can be guessed, so where values are kept out it is, too."""
    text = given if isinstance(given, str) else json.dumps(given)

    assert sketch(text) != ""
    assert sketch(structure(text)) == ""
    assert sketch(json.loads(structure(text))) == ""


def a_tool(arguments: str | None) -> SpanView:
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
    if arguments is not None:
        said["gen_ai.tool.call.arguments"] = arguments
    return SpanView(trace_id="a", span_id="b", attributes=said)


def test_a_step_has_the_sketch_of_what_may_be_stored() -> None:
    """Redaction comes first: of a secret there is the marker, of dropped arguments nothing."""
    key = "gen_ai.tool.call.arguments"
    secret = json.dumps({"query": "who is ann@example.com"})
    policy = RedactSettings(key=b"k" * 32, detectors=frozenset({"email"}))
    redacted = Redactor(policy).value(secret, key)
    only = Redactor(replace(policy, content="structure")).value(secret, key)

    assert "ann@example.com" not in redacted
    assert dialects.step(a_tool(redacted)).arguments_sketch == sketch(redacted) != sketch(secret)
    assert dialects.step(a_tool(only)).arguments_sketch == ""
    assert dialects.step(a_tool(only)).arguments_digest != ""
    assert dialects.step(a_tool(None)).arguments_sketch == ""


def test_retrievals_have_one_of_their_query_and_model_calls_none() -> None:
    said = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.retrieval.query.text": "vacation days",
        "gen_ai.tool.call.arguments": "{}",
    }
    step = dialects.step(SpanView(trace_id="a", span_id="b", attributes=said))
    assert (step.kind, step.arguments_sketch) == (Kind.RETRIEVE, sketch("vacation days"))
    chat = dialects.step(
        SpanView(trace_id="a", span_id="b", attributes={**said, "gen_ai.operation.name": "chat"})
    )
    assert (chat.kind, chat.arguments_sketch) == (Kind.MODEL, "")


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=8), inner, max_size=20)
    ),
    max_leaves=60,
)


@settings(max_examples=200, deadline=None)
@given(JSONISH)
def test_any_arguments_have_a_small_sketch(value: Any) -> None:
    """They come from strangers; what is kept of them is bounded, and is ASCII."""
    for spelled in (value, json.dumps(value), repr(value)):
        found = sketch(spelled)
        assert len(found) <= 170
        assert found.isascii()
        assert sum(map(len, read(found).values())) <= WORDS_MAX
        assert sketch(structure(json.dumps(value))) == ""
