"""Structure without content (S3.13)."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from otel_agentrun.structure import is_structure, structure

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.text(max_size=70), inner, max_size=5)
        | inner.map(json.dumps)
    ),
    max_leaves=30,
)


def test_keys_types_and_lengths() -> None:
    """What a reader needs to see how an input is built."""
    assert structure('{"city":"Paris"}') == (
        '{"type":"object","members":{"city":{"type":"string","length":5}}}'
    )
    assert json.loads(structure('[1,2,"x",null,true]')) == {
        "type": "array",
        "length": 5,
        "items": [
            {"type": "number"},
            {"type": "string", "length": 1},
            {"type": "null"},
            {"type": "boolean"},
        ],
    }
    assert structure("plain text") == '{"type":"string","length":10}'


def test_json_in_json_is_described() -> None:
    """Tool arguments arrive as strings that hold JSON."""
    assert json.loads(structure(json.dumps({"arguments": '{"a":1}'})))["members"] == {
        "arguments": {
            "type": "string",
            "length": 7,
            "json": {"type": "object", "members": {"a": {"type": "number"}}},
        }
    }


@given(documents)
def test_a_structure_is_its_own_structure(document: object) -> None:
    """Redacting twice changes nothing."""
    once = structure(json.dumps(document))

    assert is_structure(once)
    assert structure(once) == once


@given(st.lists(st.text("abcdefxyz", min_size=9, max_size=12), min_size=1, max_size=6))
def test_no_value_survives(values: list[str]) -> None:
    """Values, at any place, are never in it."""
    document = {"list": values, "object": {"x": values[0]}, "json": json.dumps(values)}

    shape = structure(json.dumps(document))

    assert not any(value in shape for value in values)


def test_a_document_cannot_pose_as_a_structure() -> None:
    """Duplicate members, other types and odd lengths would carry values through."""
    for text in (
        '{"type":"secret text","type":"string","length":1}',
        '{"type":"string","length":"secret text"}',
        '{"type":"secret text"}',
        '{"type":"null","note":"secret text"}',
        '{"type":"array","length":1,"items":["secret text"]}',
    ):
        assert "secret" not in structure(text)


def test_size_and_depth_are_bounded() -> None:
    """One attribute must not become a megabyte of description, nor a deep one an error."""
    wide = json.dumps({f"k{i}": {f"m{j}": j for j in range(100)} for i in range(500)})
    deep = "[" * 50_000 + "]" * 50_000

    assert len(structure(wide)) < 40_000
    assert json.loads(structure(wide))["more"] > 400
    assert json.loads(structure(deep)) == {"type": "string", "length": 100_000}
    assert json.loads(structure("[" * 30 + "]" * 30))["type"] == "array"
    assert json.loads(structure('"' + "a" * 3_000_000 + '"'))["type"] == "string"
