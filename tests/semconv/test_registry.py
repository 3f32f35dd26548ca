"""The registry: in the format of Weaver, whole, and the same words as the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.runs import events, status
from collector.semconv.attributes import fits
from collector.semconv.loading import FILES, RegistryError, load_requirements, parse
from otel_agentrun import propagation, semconv
from otel_agentrun.dialects import agentrun as ours
from otel_agentrun.dialects import genai
from otel_agentrun.redact import Redactor, RedactSettings, Treatment
from otel_agentrun.step import Kind, Status
from tests.semconv.builders import REGISTRY

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "schemas" / "semconv"
REQUIRED_IDS: Final = (("S2", 1, 29), ("S3", 11, 21), ("S4", 4, 28), ("S5", 1, 33), ("S5", 44, 53))
"""The requirements that ask for a name: section, first, last."""
TYPES: Final = re.compile(r"string|int|double|boolean|string\[\]|template\[string\]")
OURS: Final = re.compile(r"agentrun\.[a-z_]+(\.[a-z_]+)*\.?")
LEVELS: Final = {"required", "recommended", "opt_in"}


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    for name in FILES:
        yield name, yaml.safe_load((FOLDER / "model" / f"{name}.yaml").read_text(encoding="utf-8"))


def groups() -> Iterator[dict[str, Any]]:
    for _, document in documents():
        yield from document["groups"]


def upstream() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "upstream.yaml").read_text(encoding="utf-8"))
    return found


def values_of(key: str) -> set[str]:
    return {each.value for each in REGISTRY.attributes[key].values}


# ------------------------------------------------------------------ format


def test_every_file_of_the_model_is_read() -> None:
    """A file that nobody lists would be in Weaver's registry and not in ours."""
    found = {file.stem for file in (FOLDER / "model").glob("*.yaml")}
    assert found == {*FILES, "registry_manifest"}


def test_groups_have_what_weaver_asks_for() -> None:
    """open-telemetry/weaver, schemas/semconv.schema.json: required fields of groups and attributes.

    An attribute is defined (id, type, stability, brief) or referred to, never both.
    """
    ids = [group["id"] for group in groups()]
    assert len(ids) == len(set(ids))
    for group in groups():
        assert group["type"] in ("attribute_group", "span", "event"), group["id"]
        assert group["brief"], group["id"]
        assert group.get("extends", group["id"]) in ids
        if group["type"] != "attribute_group":
            assert group["stability"] == "development"
        if group["type"] == "span":
            assert group["span_kind"] in ("internal", "client")
        if group["type"] == "event":
            assert group["name"] == group["id"].removeprefix("event.")
        for one in group["attributes"]:
            if "ref" in one:
                assert "type" not in one
                level = one["requirement_level"]
                assert (
                    level in LEVELS
                    if isinstance(level, str)
                    else [*level] == ["conditionally_required"]
                )
            else:
                assert group["id"].startswith("registry."), "attributes are defined in one place"
                assert one["stability"] == "development"
                assert one["brief"].endswith("."), one["id"]


def test_attributes_of_ours_have_types_and_examples() -> None:
    """Issue 3: id, type, stability, brief, examples; an enum's values are its examples."""
    for group in groups():
        for one in group["attributes"]:
            if "id" not in one:
                continue
            assert one["id"].startswith("agentrun."), "what others name is referred to"
            if isinstance(one["type"], dict):
                members = one["type"]["members"]
                assert all({"id", "value", "brief", "stability"} <= each.keys() for each in members)
                continue
            assert TYPES.fullmatch(one["type"]), one["id"]
            assert one["type"] == "boolean" or one["examples"], one["id"]


def test_examples_are_of_their_type() -> None:
    for one in REGISTRY.attributes.values():
        for example in one.examples:
            assert fits(example, one.type), (one.key, example)


def test_genai_attributes_are_referred_to_at_a_pinned_commit() -> None:
    """What Weaver resolves is the commit that our facts are from."""
    manifest = yaml.safe_load((FOLDER / "model/registry_manifest.yaml").read_text(encoding="utf-8"))
    (genai_registry,) = manifest["dependencies"]
    assert f"@{REGISTRY.genai_commit}[model]" in genai_registry["registry_path"]
    assert re.fullmatch(r"[0-9a-f]{40}", REGISTRY.genai_commit)
    defined = {one["id"] for group in groups() for one in group["attributes"] if "id" in one}
    assert not defined & upstream()["attributes"].keys()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ref": "agentrun.nothing", "requirement_level": "required"}, "is defined nowhere"),
        ({"id": "agentrun.run.id", "type": "string", "brief": "x."}, "is defined twice"),
        ({"id": "agentrun.run_id", "type": "string", "brief": "x."}, "both the constant RUN_ID"),
    ],
)
def test_a_registry_that_contradicts_itself_is_refused(change: dict[str, Any], said: str) -> None:
    """Whoever edits it is told where."""
    sort = "span" if "ref" in change else "registry"
    extra = {
        "id": f"{sort}.extra", "type": "span" if "ref" in change else "attribute_group",
        "brief": "x", "display_name": "x", "attributes": [change],
    }  # fmt: skip
    with pytest.raises(RegistryError, match=said):
        parse([*groups(), extra], upstream())


# ------------------------------------------------------------------ requirements


def test_every_requirement_that_asks_for_a_name_has_one() -> None:
    """Issue 3: S2.1-S2.29, S3.11-S3.21, S4.4-S4.28, S5.1-S5.33, S5.44-S5.53."""
    wanted = [
        f"{section}.{number}"
        for section, first, last in REQUIRED_IDS
        for number in range(first, last + 1)
    ]
    found = load_requirements()
    assert [one.id for one in found] == wanted
    assert all(one.names and one.text for one in found)


def test_names_of_requirements_exist() -> None:
    """An attribute, span, event, a header that is mapped, or a field of the protocol."""
    protocol = {
        f"{message.DESCRIPTOR.name}.{field.name}"
        for message in (Span, LogRecord)
        for field in message.DESCRIPTOR.fields
    }
    headers = {*propagation.HEADERS, f"{propagation.PROPERTY_PREFIX}*"}
    known = (
        REGISTRY.attributes.keys()
        | {f"span:{span.name}" for span in REGISTRY.spans.values()}
        | {f"event:{name}" for name in REGISTRY.events}
        | {f"header:{name}" for name in headers}
        | {f"otlp:{name}" for name in protocol}
    )
    for one in load_requirements():
        assert set(one.names) <= known, one.id


def test_headers_stand_for_attributes_of_the_registry() -> None:
    """S2.18-S2.25."""
    for attribute in propagation.HEADERS.values():
        assert REGISTRY.find(attribute), attribute
    assert propagation.TAG_PREFIX == semconv.TAG_PREFIX


# ------------------------------------------------------------------ the same words as the code


def test_closed_sets_are_those_of_the_code() -> None:
    """S1.12, S5.21: one list of states, whoever looks."""
    assert values_of("agentrun.stop.reason") == status.STATUS_OF_STOP.keys()
    assert values_of("agentrun.step.kind") == {kind.value for kind in Kind}
    assert values_of("agentrun.step.status") == {one.value for one in Status}
    assert values_of("agentrun.run.status") == {
        "initiated", "running", "paused", *status.STATUS_OF_STOP.values(),
    }  # fmt: skip
    assert values_of("agentrun.step.role") == ours.ROLES.keys()


def test_spans_of_ours_are_genai_spans_of_the_same_kind() -> None:
    """Valid for both: whoever reads only the operation sees the same kind of step."""
    for kind, span in REGISTRY.spans.items():
        for operation in span.operations:
            assert genai.KINDS[operation].value == kind
            assert REGISTRY.operations.get(operation, ()) <= tuple(span.uses) or all(
                span.uses[key].level == "required" for key in REGISTRY.operations[operation]
            )


def test_what_the_fold_reads_of_events_has_a_name() -> None:
    folded = {name for name in events.FOLDED if name.startswith("agentrun.")}
    assert folded <= REGISTRY.events.keys()
    assert events.ERASED in REGISTRY.events
    assert REGISTRY.events.keys() == semconv.EVENTS


def literals(folder: str) -> Iterator[tuple[str, Path]]:
    """Strings of the code that look like an attribute of ours, docstrings aside."""
    for file in sorted((ROOT / folder).rglob("*.py")):
        if file.name == "semconv.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and OURS.fullmatch(text):
                yield text, file


NOT_ATTRIBUTES: Final = {"agentrun.yaml", "agentrun.otlp", "agentrun.propagation.ignored"}
"""A file, the package of a protobuf descriptor, and a metric of the SDK."""


@pytest.mark.parametrize("folder", ["otel_agentrun", "collector"])
def test_names_that_the_code_spells_out_are_in_the_registry(folder: str) -> None:
    """S4.14: one name for one thing."""
    prefixes = {prefix.rstrip(".") for prefix in REGISTRY.prefixes}
    known = REGISTRY.attributes.keys() | REGISTRY.events.keys() | prefixes | NOT_ATTRIBUTES
    for name, file in literals(folder):
        assert name.rstrip(".") in known, f"{file.relative_to(ROOT)}: {name}"


def test_content_of_ours_is_content_for_redaction() -> None:
    """S5.20: what a policy of `structure` hides includes every attribute that holds content."""
    redactor = Redactor(RedactSettings(key=b"k" * 32))
    for one in REGISTRY.attributes.values():
        if one.ours or one.key.startswith("gen_ai."):
            key = f"{one.key}.k" if one.template else one.key
            treated = Treatment.CONTENT in redactor.treatment(key)
            assert treated or not one.content, f"{key} is not in redact_keys.CONTENT_KEYS"
            assert not (one.ours and treated and not one.content), f"{key} is in CONTENT_KEYS"


def test_numbers_that_are_no_secrets_are_left_alone() -> None:
    """A start in nanoseconds has the shape of a card number."""
    redactor = Redactor(RedactSettings(key=b"k" * 32))
    for key in ("agentrun.step.start_unix_ns", "agentrun.finding.span_ids", "agentrun.step.id"):
        assert Treatment.ID in redactor.treatment(key)
