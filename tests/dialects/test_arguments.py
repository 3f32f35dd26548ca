"""One digest for one call, however an emitter spells it (DIALECTS 2.10)."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otel_agentrun import arguments, plain_json

PARIS = arguments.digest('{"city": "Paris"}')


@pytest.mark.parametrize(
    "spelled",
    [
        '{"city":"Paris"}',
        "{'city': 'Paris'}",
        {"city": "Paris"},
        '{"kwargs": {"city": "Paris"}}',
        '{"args": [], "kwargs": {"city": "Paris"}}',
        '{"args": [], "sanitize_inputs_outputs": true, "kwargs": {"city": "Paris"}}',
        '{"input_str": "{\'city\': \'Paris\'}", "tags": ["x"]}',
        json.dumps(json.dumps({"city": "Paris"})),
        json.dumps(json.dumps(json.dumps({"city": "Paris"}))),
        "Paris",
        "{'city': 'Paris', 'ctx': '<workflow.Context object at 0x7f00aa11>'}",
    ],
)
def test_spellings_of_one_call_have_one_digest(spelled: Any) -> None:
    assert arguments.digest(spelled) == PARIS
    assert len(PARIS) == 16


@pytest.mark.parametrize(
    "other",
    ['{"city": "Rome"}', '{"city": "Paris", "days": 2}', "paris", '{"city": ["Paris"]}', "{}"],
)
def test_different_calls_have_different_digests(other: str) -> None:
    assert arguments.digest(other) != PARIS


def test_arguments_that_were_not_recorded_have_no_digest() -> None:
    """No arguments and unknown arguments differ: a rule must not see unknown ones as equal."""
    assert arguments.digest("") == arguments.digest(None) == ""
    assert arguments.digest("{}") != ""


def test_key_order_number_form_and_addresses_do_not_matter() -> None:
    one = '{"a": 1.0, "b": {"y": "<F at 0x7fa1>!", "x": [1, 2]}}'
    other = "{'b': {'x': [1, 2.0], 'y': '<F at 0x7fb2>!'}, 'a': 1}"

    assert arguments.digest(one) == arguments.digest(other)


def test_positional_arguments_are_kept() -> None:
    assert arguments.digest('{"args": ["Paris"], "kwargs": {}}') == PARIS
    assert arguments.digest('{"args": ["Rome"], "kwargs": {"d": 1}}') != arguments.digest(
        '{"d": 1}'
    )


@pytest.mark.parametrize("number", [42, "42", "{'n': 42}", '{"n": 42}', '{"n": "42"}'])
def test_one_number_is_its_text(number: Any) -> None:
    """LangGraph sends the bare value of a single argument as text."""
    assert arguments.digest(number) == arguments.digest("42")


@pytest.mark.parametrize(
    "hostile",
    [
        "[" * 100_000,
        "{" * 5000,
        "(" * 100_000,
        "'" + "a" * 100_000,
        "{'a': __import__('os')}",
        "\ud800",
    ],
)
def test_hostile_text_stays_text(hostile: str) -> None:
    """Arguments come from strangers: nothing is evaluated, nothing recurses without bound."""
    assert len(arguments.digest(hostile)) == 16
    assert arguments.parse(hostile) == hostile


def test_a_result_is_digested_without_the_message_around_it() -> None:
    """The message's ids differ in every call; no-progress rules compare the answer (LangGraph)."""
    first = '{"type": "tool", "data": {"content": "No results.", "tool_call_id": "call_1"}}'
    second = '{"type": "tool", "data": {"content": "No results.", "tool_call_id": "call_2"}}'

    assert arguments.result_digest(first) == arguments.result_digest(second)
    assert arguments.result_digest(first) == arguments.result_digest("No results.")
    assert arguments.result_digest('[{"text": "No results."}]') == arguments.result_digest(first)
    assert arguments.result_digest("") == ""


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
CALLS = st.dictionaries(
    st.text(alphabet="abcdefgh", min_size=1, max_size=4), VALUES, min_size=2, max_size=4
)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(CALLS)
def test_json_and_python_spellings_agree(call: dict[str, Any]) -> None:
    """Two or more arguments: JSON, indented JSON, Python's repr and a kwargs wrapper."""
    assert (
        arguments.digest(call)
        == arguments.digest(json.dumps(call))
        == arguments.digest(json.dumps(call, indent=2, sort_keys=True))
        == arguments.digest(repr(call))
        == arguments.digest({"kwargs": call})
    )


FLOATS = st.recursive(
    VALUES | st.floats() | st.sampled_from(["<F at 0x7fa1>", "x at 0x7fa1!", "é", "\u2028", "1.0"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "b", "kwargs", "args", "data", "type", "input_str", "text"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=10,
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(FLOATS, st.sampled_from([None, 2]), st.booleans())
def test_the_short_way_of_plain_json_ends_where_the_long_way_does(
    value: Any, indent: int | None, escaped: bool
) -> None:
    """Text that needs no unwrapping is made canonical in one go; equal calls stay equal."""
    text = json.dumps(value, indent=indent, ensure_ascii=escaped)

    plain = plain_json.plain_digest(text)

    assert plain in ("", arguments.digest(arguments.parse(text)))
    assert plain in ("", arguments.result_digest(arguments.parse(text)))
    assert arguments.digest(text) == arguments.digest(arguments.parse(text))
    assert arguments.result_digest(text) == arguments.result_digest(arguments.parse(text))


TEXTS = ["", "plain", '"\\/', "\x00\x1f\n\r\t\b\f", "\x7f", "\u00e9\u2028", "\ud800"]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_escaped_does_not_depend_on_the_library(text: str) -> None:
    assert plain_json.dumps([text]) == json.dumps([text], separators=(",", ":"))


@settings(max_examples=400, deadline=None, derandomize=True)
@given(FLOATS)
def test_a_parsed_value_has_the_digest_of_its_text(value: Any) -> None:
    """Or none, where only the long way can tell: fractions, wrappers, addresses."""
    parsed = json.loads(json.dumps(value))

    assert plain_json.value_digest(parsed) in ("", arguments.digest(parsed))


def test_without_orjson_digests_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK part installs without it, and meets the collector's digests in one run."""
    calls = [
        '{"b": 1, "a": [true, null, "\\u00e9\\u2028\\u007f\\u0001\\n"]}',
        '{"x": 1e3, "y": -7}',
    ]
    expected = [plain_json.plain_digest(call) for call in calls]
    escaped = [plain_json.dumps(text) for text in TEXTS]
    monkeypatch.setitem(sys.modules, "orjson", None)
    encode, loads, dumps = plain_json._codec()
    monkeypatch.setattr(plain_json, "encode", encode)
    monkeypatch.setattr(plain_json, "loads", loads)

    assert [plain_json.plain_digest(call) for call in calls] == expected
    assert "" not in expected
    assert plain_json.length("[1, [2], {}]") == 3
    assert plain_json.length('{"a": 1}') is plain_json.length("[1") is None
    assert [dumps(text) for text in TEXTS] == escaped


def test_deep_arguments_are_cut_at_the_same_depth_either_way() -> None:
    deep = "[" * 70 + '"x"' + "]" * 70

    assert arguments.digest(deep) == arguments.digest(json.loads(deep))
