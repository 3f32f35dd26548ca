"""Run-level facts: where they come from, who wins, and that equal ones are shared."""

from __future__ import annotations

from typing import Any

from otel_agentrun import dialects
from otel_agentrun.dialects import labels
from otel_agentrun.step import SpanView, Step


def step(
    own: dict[str, Any],
    resource: dict[str, Any] | None = None,
    ingest: dict[str, Any] | None = None,
) -> Step:
    return dialects.step(
        SpanView(trace_id="a", span_id="b", attributes=own, resource=resource, ingest=ingest)
    )


def test_span_wins_over_resource_and_resource_over_request() -> None:
    """The nearest source knows best; headers apply to spans that lack the fact (S2.18)."""
    ingest = {"session.id": "from-header", "user.id": "from-header", "agentrun.task.type": "t"}
    resource = {"service.name": "s", "user.id": "from-resource", "session.id": "from-resource"}
    found = step({"session.id": "own"}, resource, ingest).labels

    assert found["session_id"] == "own"
    assert found["user_id"] == "from-resource"
    assert found["task_type"] == "t"
    assert found["service_name"] == "s"


def test_tenancy_of_the_api_key_always_wins() -> None:
    """A client cannot book its cost on another department or leave its environment."""
    claimed = {
        "agentrun.workspace": "other",
        "agentrun.department": "other",
        "agentrun.virtual_key": "other",
        "deployment.environment.name": "prod",
    }
    key = {
        "agentrun.workspace": "mine",
        "agentrun.department": "sales",
        "agentrun.virtual_key": "vk",
        "deployment.environment.name": "dev",
    }
    found = step(claimed, claimed, key).labels

    assert found == {
        "workspace": "mine",
        "department": "sales",
        "virtual_key": "vk",
        "environment": "dev",
    }


def test_run_and_agent_of_the_request_are_defaults() -> None:
    """`Alephant-Run-Id` and `Alephant-Agent-Id` reach spans that name none (S2.19, S2.20)."""
    ingest = {"agentrun.run.id": "r1", "agentrun.agent.id": "a1"}

    assert (step({}, None, ingest).run_id, step({}, None, ingest).agent_id) == ("r1", "a1")
    assert step({"agentrun.run.id": "own"}, None, ingest).run_id == "own"


def test_prompt_versions_flags_and_tags_are_labels() -> None:
    found = step(
        {
            "gen_ai.prompt.name": "triage",
            "gen_ai.prompt.version": 7,
            "agentrun.feature_flag.fast": True,
            "agentrun.tag.team": "blue",
        }
    ).labels

    assert found == {
        "prompt_versions.triage": "7",
        "feature_flags.fast": "true",
        "tags.team": "blue",
    }


def test_the_version_of_a_tool_is_a_label_of_its_call() -> None:
    """Errors by tool and version are counted without reading spans again (S5.25, S5.58)."""
    call = step({"gen_ai.operation.name": "execute_tool", "agentrun.tool.version": "v3"})

    assert call.labels == {"tool_version": "v3"}


def test_older_environment_key_is_read_after_the_current_one() -> None:
    old = {"deployment.environment": "old"}

    assert step({}, old).labels == {"environment": "old"}
    assert step({}, {**old, "deployment.environment.name": "new"}).labels == {"environment": "new"}


def test_equal_labels_are_one_object() -> None:
    """A hundred thousand steps hold one dict, also where each batch has its own resource."""
    first = step({"session.id": "s"}, {"service.name": "x"})
    second = step({"session.id": "s"}, {"service.name": "x"})

    assert first.labels is second.labels
    assert step({}).labels is step({}).labels


def test_the_cache_of_labels_is_bounded() -> None:
    """Session ids never end: it starts over when it is full, and answers stay right."""
    interner = labels.Interner()
    resource = {"service.name": "x"}
    for number in range(labels.DISTINCT_MAX + 10):
        found = interner.merge({"session_id": str(number)}, resource, {})
        assert found["session_id"] == str(number)

    assert interner._merged_count <= labels.DISTINCT_MAX
    for _ in range(labels.BASES_MAX + 10):
        interner.merge({}, dict(resource), {})
    assert len(interner._by_identity) <= labels.BASES_MAX


def test_a_changed_resource_object_at_the_same_address_is_not_mistaken() -> None:
    """Identity is only trusted while the object is held."""
    interner = labels.Interner()
    for number in range(100):
        assert interner.merge({}, {"service.name": str(number)}, {}) == {
            "service_name": str(number)
        }
