"""Content is opt-in: off, redacted (the default) or full; its structure is always kept (S3.13)."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import otel_agentrun as agentrun
from otel_agentrun import semconv
from otel_agentrun.content import OVERLAP_CHARS, ContentPolicy
from otel_agentrun.redact import RedactSettings
from tests.sdk.conftest import Recorded

KEY = "sk-proj-" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4z" * 2
ARGUMENTS = semconv.GEN_AI_TOOL_CALL_ARGUMENTS


def traced(app: Recorded) -> dict[str, str]:
    @agentrun.tool
    def t(key: str, city: str) -> None:
        raise ValueError(f"no {key}")

    with pytest.raises(ValueError, match="no"), agentrun.run("r", input={"mail": "a@example.com"}):
        t(KEY, "Paris")
    return {span.name: str(dict(span.attributes or {})) for span in app.spans}


def test_secrets_are_redacted_by_default(app: Recorded) -> None:
    """S5.20; in errors and their stack traces too."""
    spans = traced(app)
    everything = str(spans) + str(
        [(s.status.description, s.events[0].attributes) for s in app.spans]
    )

    assert KEY not in everything
    arguments = json.loads(app.said("agent.tool t")[ARGUMENTS])
    assert arguments["city"] == "Paris"
    assert arguments["key"].startswith("[redacted:")


def test_detectors_are_a_setting(make_app: Callable[..., Recorded]) -> None:
    app = make_app(redaction=RedactSettings(key=b"k" * 32, detectors=frozenset({"email"})))
    traced(app)

    assert "a@example.com" not in app.said("agent.run r")[semconv.INPUT]


def test_with_content_off_only_structure_is_kept(make_app: Callable[..., Recorded]) -> None:
    app = make_app(content="off")
    spans = traced(app)

    assert "Paris" not in str(spans)
    said = app.said("agent.tool t")
    assert json.loads(said[ARGUMENTS]) == {
        "type": "object",
        "members": {
            "key": {"type": "string", "length": len(KEY)},
            "city": {"type": "string", "length": 5},
        },
    }
    assert KEY not in str(app.span("agent.tool t").events[0].attributes)
    assert json.loads(app.said("agent.run r")[semconv.INPUT])["members"].keys() == {"mail"}


def test_full_content_is_as_it_was(make_app: Callable[..., Recorded]) -> None:
    app = make_app(content="full")
    traced(app)

    assert json.loads(app.said("agent.tool t")[ARGUMENTS])["key"] == KEY


def test_equal_calls_have_equal_digests_whatever_is_kept(
    make_app: Callable[..., Recorded],
) -> None:
    """Loops are recognized by them; the collector cannot compute them from what was cut out."""
    app = make_app(content="off")
    with agentrun.run("r"):
        for value in ("a", "a", "b"):
            with agentrun.tool("t", arguments={"x": value}):
                pass

    first, second, third = (
        dict(s.attributes or {})[semconv.TOOL_ARGUMENTS_HASH] for s in app.spans[:3]
    )
    assert first == second != third


def test_long_values_are_cut_after_they_were_redacted() -> None:
    """Half a key matches no pattern."""
    policy = ContentPolicy(chars_max=100)
    text = "x" * 60 + " " + KEY + " " + "y" * 100_000

    kept, _, is_all = policy.keep("gen_ai.input.messages", text)

    assert not is_all
    assert KEY[:20] not in kept
    assert len(kept) < 200
    across = "x " * 40 + KEY + "z" * (OVERLAP_CHARS * 3)
    assert KEY[:16] not in policy.keep("gen_ai.input.messages", across)[0]


def test_a_setting_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="expected off, redacted or full, got 'some'"):
        ContentPolicy("some")  # type: ignore[arg-type]  # what is tested
    with pytest.raises(ValueError, match="at least 1"):
        ContentPolicy(chars_max=0)
