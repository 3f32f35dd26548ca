"""The example of docs/dialects.md in force in a real collector, decoder process included."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from collector.config import load
from collector.errors import ConfigError
from tests.e2e.talk import Talk, eventually
from tests.support.process import CollectorProcess

DOCS = Path(__file__).parents[2] / "docs" / "dialects.md"
EXAMPLE = re.findall(r"```yaml\n(mappings:.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
TRACE = "5bd1a1b2c3d4e5f60718293a4b5c6d7e"


def a_span(number: int, parent: int, name: str, **attributes: str | int) -> dict[str, Any]:
    start = time.time_ns() - 10_000_000_000 + number * 1_000_000
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": f"{parent:016x}" if parent else "",
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 5_000_000_000 - number * 2_000_000),
        "attributes": [
            {
                "key": f"acme.{key.replace('_', '.')}",
                "value": {"intValue": str(value)}
                if isinstance(value, int)
                else {"stringValue": value},
            }
            for key, value in attributes.items()
        ],
    }


SPANS = [
    a_span(1, 0, "answer", kind="assistant", assistant="helper", prompt="hi", answer="hello"),
    a_span(
        2, 1, "ask", kind="llm", model="gpt-4o-mini", tokens_in=100, tokens_out=7, chat="c-1",
        team="red",
    ),
    a_span(3, 1, "do", kind="function", function="search", function_args='{"q": 1}',
           function_result="ok"),
]  # fmt: skip
REQUEST = {
    "resourceSpans": [
        {"scopeSpans": [{"scope": {"name": "acme.tracing"}, "spans": SPANS},
                        {"scope": {"name": "other.llm"}, "spans": [a_span(4, 1, "stranger")]}]}
    ]
}  # fmt: skip


def test_an_in_house_convention_needs_no_code(tmp_path: Path) -> None:
    """Kinds, tokens, tools, labels and headers, through the decoder process, to the documents."""
    [example] = EXAMPLE
    config = tmp_path / "agentrun.yaml"
    config.write_text(example, encoding="utf-8")
    with CollectorProcess(
        tmp_path / "data", config=config, receiver_decoders=1, store_flush_secs=0.05
    ) as collector:
        body = json.dumps(REQUEST).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{collector.ports['http']}/v1/traces",
            data=body,
            headers={"Content-Type": "application/json", "X-Acme-Person": "ann"},
        )
        urllib.request.urlopen(request, timeout=30).close()
        talk = Talk(collector)
        eventually(lambda: [run for run in talk.runs() if run["status"] == "completed"])
        shown = talk.run(TRACE)
        explained = talk.get(f"/v1/runs/{TRACE}/explain")
        metrics = talk.api("/metrics").body.decode()
        doctor = talk.get("/v1/doctor")

    run, steps = shown["run"], {step["name"]: step for step in shown["steps"]}
    assert (run["agent_name"], run["dialects"]) == ("helper", ["acme"])
    assert (run["session_id"], run["user_id"], run["tags"]) == ("c-1", "ann", {"team": "red"})
    assert (run["input_tokens"], run["output_tokens"], run["tool_calls"]) == (100, 7, 1)
    assert run["cost_usd"] is not None
    assert (run["input"], run["output"]) == ("hi", "hello")
    assert (steps["do"]["tool_name"], steps["do"]["arguments"]) == ("search", {"q": 1})
    model = next(span for span in explained["spans"] if span["name"] == "ask")
    assert model["decided_by"]["acme.kind"] == "llm"
    assert {"field": "model", "attribute": "acme.model", "value": "gpt-4o-mini"} in model["fields"]
    assert 'agentrun_unrecognized_spans_total{scope="other.llm"} 1.0' in metrics
    [found] = [each for each in doctor if each["check"] == "dialects"]
    assert found["status"] == "warn"
    assert "other.llm (1)" in found["message"]


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        ("spans: [{name: a, keys: {model: [x]}}]", "mappings.spans[0]", "neither"),
        ("spans: [{name: genai, scope: x}]", "mappings.spans[0].name", "taken"),
        ("spans: [{name: a, scope: x, kinds: {y: model}}]", "mappings.spans[0].kinds", "neither"),
        ("spans: [{name: a, scope: x, kind: llm}]", "mappings.spans[0].kind", "llm"),
        ("keys: {modell: [x]}", "mappings.keys.modell", "did you mean `model`"),
        ("keys: {model: []}", "mappings.keys.model", "empty list"),
        ("keys: {model: [x], user_id: [x]}", "mappings.keys.user_id[0]", "states `model` already"),
        ("headers: {authorization: user.id}", "mappings.headers.authorization", "secret"),
        ("headers: {'a b': user.id}", "mappings.headers.a b", "header name"),
        ("headers: {x-a: user.id, X-A: y}", "mappings.headers.X-A", "no case"),
        ("headers: {x-t: agentrun.workspace}", "mappings.headers.x-t", "API key"),
    ],
)
def test_a_mistake_says_where_and_what_to_do(
    tmp_path: Path, text: str, key: str, said: str
) -> None:
    """File, line and column, why, fix: before anything starts."""
    config = tmp_path / "agentrun.yaml"
    config.write_text(f"mappings: {{{text}}}\n", encoding="utf-8")

    with pytest.raises(ConfigError) as error:
        load(config, {})
    report = str(error.value)
    assert "agentrun.yaml:1:" in report
    assert f" {key}: " in report
    assert said in report
    assert "Why: " in report
    assert "Fix: " in report


def test_headers_need_headers(tmp_path: Path) -> None:
    config = tmp_path / "agentrun.yaml"
    config.write_text("receiver: {headers: false}\nmappings: {headers: {x-a: b}}\n")

    with pytest.raises(ConfigError, match=r"receiver\.headers"):
        load(config, {})
