"""`agentrun ingest`: files through the same pipeline, into a store that nobody holds."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.files import found_in_files
from tests.e2e.otlp import AGENT, CHAT, a_record, a_run, a_span, as_json, logs, trace_id, traces
from tests.e2e.talk import agentrun
from tests.support import captures

SECRET = "sk-ant-api03-aB3dE5gH7jK9mN1pQ4sT6vW8xY0zC2fL5nR7uX9bD1g"


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"chdb://{tmp_path}/store"


def ingest(store: str, *files: Path) -> dict[str, Any]:
    done = agentrun("ingest", *map(str, files), "--store", store, "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def runs(store: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        agentrun("runs", "list", "--json", "--store", store).stdout
    )
    return sorted(found, key=lambda run: run["run_id"])


def a_file(path: Path) -> Path:
    """JSON lines, as the OpenTelemetry Collector's file exporter writes them."""
    open_run = a_span(trace_id("open"), 1, CHAT)
    evaluation = {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.value": 1}
    lines = [
        as_json(traces([*a_run(trace_id("whole"), {"note": SECRET}), open_run])),
        as_json(logs([a_record("gen_ai.evaluation.result", evaluation, trace=trace_id("whole"))])),
    ]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_a_file_twice_is_the_same_as_once(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ends with nothing pending and every run closed; the second time nothing is doubled."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    file = a_file(tmp_path / "spans.jsonl")

    first = ingest(store, file)
    once = runs(store)
    second = ingest(store, file, file)
    again = runs(store)

    terms = first["signals"]["traces"]
    assert (terms["received"], terms["stored"], terms["pending"]) == (5, 5, 0)
    assert first["signals"]["logs"]["stored"] == 1
    assert [run["status"] for run in once] == ["completed", "completed"]
    by_id = {run["run_id"]: run for run in once}
    whole, open_ = by_id[trace_id("whole")], by_id[trace_id("open")]
    assert (whole["steps"], whole["quality"]) == (3, {"tone": 1})
    assert "root_missing" in open_["data_quality"]
    terms = second["signals"]["traces"]
    ended = ("stored", "refused", "deduplicated", "dead_lettered", "pending")
    assert terms["received"] == 10 == sum(terms[name] for name in ended)
    assert terms["deduplicated"] == 5, "the store absorbs those of runs that were closed before"
    assert again == once
    assert found_in_files([tmp_path / "store"], [SECRET]) == {}
    assert os.listdir(tmp_path / "tmp") == [], "the journal of an ingest has prompts in it"


def test_a_capture_s_log_records_tell_of_a_tool(tmp_path: Path, store: str) -> None:
    """openai-v2 in its default mode, by an application without any span: each model call is a
    trace, the second one's records tell of the tool that ran between them, with its content, and
    so both are one run."""
    folder = captures.folder("openaiv2-legacy")
    [truth] = [run for run in captures.truth(folder)["runs"] if run["run"] == "normal-2"]

    ingest(store, *sorted(folder.glob("*.otlp.json")), *sorted(folder.glob("logs.otlp.json")))

    first, _ = truth["trace_ids"]
    shown = json.loads(agentrun("runs", "show", first, "--json", "--store", store).stdout)
    assert shown["run"]["trace_ids"] == truth["trace_ids"]
    steps = shown["steps"]
    assert [step["kind"] for step in steps] == ["model", "tool", "model"]
    tool = steps[1]
    assert (tool["tool_name"], tool["tool_call_id"]) == (
        "get_weather",
        "call_967b40c64056ff48b9a41e",
    )
    assert (tool["arguments"], tool["result"]) == ({"city": "Rome"}, "Rome: 18C, light rain")


def test_protobuf_files(tmp_path: Path, store: str) -> None:
    """One request, or many with the length before each as the Collector's file exporter does
    (contrib, exporter/fileexporter: 4 bytes, big-endian)."""
    one, many = tmp_path / "one.pb", tmp_path / "many.pb"
    bad = a_span(trace_id("bad"), 0, AGENT)
    bad.span_id = b"\0" * 8
    one.write_bytes(traces([bad, *a_run(trace_id("one"))]).SerializeToString())
    bodies = [traces(a_run(trace_id(name))).SerializeToString() for name in ("two", "three")]
    many.write_bytes(b"".join(struct.pack(">I", len(body)) + body for body in bodies))

    report = ingest(store, one, many)

    assert report["signals"]["traces"]["stored"] == 12
    assert report["signals"]["traces"]["refused_by_reason"] == {"bad_ids": 1}
    assert {run["run_id"] for run in runs(store)} == {
        trace_id(name) for name in ("one", "two", "three")
    }


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00garbage" * 40, b'{"garbage": 1}\n'],
    ids=["bytes", "other json"],
)
def test_a_file_that_is_no_otlp_is_a_sentence(tmp_path: Path, store: str, content: bytes) -> None:
    file = tmp_path / "what.json"
    file.write_bytes(content)

    done = agentrun("ingest", str(file), "--store", store, check=False)

    assert done.returncode == 1
    assert "what.json" in done.stderr
    assert "Traceback" not in done.stderr
    assert "garbage" not in done.stderr, "content may be a secret"


def test_a_file_that_is_not_there(tmp_path: Path, store: str) -> None:
    done = agentrun("ingest", str(tmp_path / "none.json"), "--store", store, check=False)
    assert done.returncode == 2
    assert "none.json" in done.stderr
