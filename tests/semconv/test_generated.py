"""What is generated is current, and light."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from otel_agentrun import semconv
from tests.semconv.builders import REGISTRY
from tools.generate_semconv import ROOT, files

KEPT = {
    "RUN_ID": "agentrun.run.id", "RUN_PARENT_ID": "agentrun.run.parent_id",
    "REQUEST_ID": "agentrun.request.id", "STOP_REASON": "agentrun.stop.reason",
    "INDEX_VERSION": "agentrun.retrieval.index_version", "TAG_PREFIX": "agentrun.tag.",
    "FEATURE_FLAG_PREFIX": "agentrun.feature_flag.", "STEP_KIND": "agentrun.step.kind",
    "TOOL_ARGUMENTS_HASH": "agentrun.tool.args_hash", "SESSION_ID": "session.id",
    "CONVERSATION_ID": "gen_ai.conversation.id", "ENVIRONMENT": "deployment.environment.name",
    "OPERATION": "gen_ai.operation.name", "DECISION_EVENT": "agentrun.decision",
}  # fmt: skip


@pytest.mark.parametrize("name", ["otel_agentrun/semconv.py", "docs/semconv.md"])
def test_generated_files_are_current(name: str) -> None:
    """Whoever edits the registry runs `make semconv`; the page shows what carries a requirement."""
    assert (ROOT / name).read_text(encoding="utf-8") == files()[name], "run: make semconv"


def test_every_name_is_a_constant() -> None:
    constants = vars(semconv)
    for one in REGISTRY.attributes.values():
        assert constants[one.constant] == (f"{one.key}." if one.template else one.key)
    for event in REGISTRY.events.values():
        assert constants[event.constant] == event.name
    for kind, span in REGISTRY.spans.items():
        assert constants[f"{kind.upper()}_SPAN"] == span.name


def test_names_that_others_import_do_not_change() -> None:
    assert {name: getattr(semconv, name) for name in KEPT} == KEPT
    assert {semconv.WORKSPACE, semconv.DEPARTMENT, semconv.VIRTUAL_KEY,
            semconv.ENVIRONMENT} == semconv.TENANCY  # fmt: skip


def test_docstrings_say_type_unit_values_and_source() -> None:
    """Issue 3."""
    text = Path(semconv.__file__).read_text(encoding="utf-8")
    body = ast.parse(text).body
    docs = {}
    for at, node in enumerate(body[:-1]):
        after = body[at + 1]
        if isinstance(node, ast.AnnAssign) and isinstance(after, ast.Expr):
            assert isinstance(node.target, ast.Name)
            docs[node.target.id] = ast.literal_eval(after.value)
    for one in REGISTRY.attributes.values():
        doc = " ".join(docs[one.constant].split())
        assert doc.startswith(one.type), one.key
        assert one.unit in doc
        assert one.ours or one.source in doc
        if one.values:
            values = getattr(semconv, f"{one.constant}_VALUES")
            assert values == tuple(each.value for each in one.values)


def test_the_module_is_constants_and_imports_nothing_else() -> None:
    """An application pays for it at every start."""
    tree = ast.parse(Path(semconv.__file__).read_text(encoding="utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert modules == {"__future__", "typing"}
    allowed = (ast.ImportFrom, ast.AnnAssign, ast.Expr)
    assert all(isinstance(node, allowed) for node in tree.body)
