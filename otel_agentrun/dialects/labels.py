"""Run-level facts that a span states: who, where, which versions; by run field name.

Sources, later ones win: the export request (`ingest`: API key and headers), the resource, the
span, and again the request's tenancy keys, which an API key alone decides.  Equal mappings are one
object, so that a hundred thousand steps of a service hold one dict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from otel_agentrun import semconv
from otel_agentrun.step import NO_LABELS, as_text

LABELS: Final[Mapping[str, tuple[str, ...]]] = {
    "session_id": (semconv.SESSION_ID,),
    "session_name": (semconv.SESSION_NAME,),
    "session_path": (semconv.SESSION_PATH,),
    "conversation_id": (semconv.CONVERSATION_ID,),
    "user_id": (semconv.USER_ID, "enduser.id"),
    "request_id": (semconv.REQUEST_ID, "http.request.header.x-request-id"),
    "agent_role": (semconv.AGENT_ROLE,),
    "agent_type": (semconv.AGENT_TYPE,),
    "agent_version": (semconv.AGENT_VERSION, "gen_ai.agent.version"),
    "workflow_name": ("gen_ai.workflow.name",),
    "task_type": (semconv.TASK_TYPE,),
    "service_name": (semconv.SERVICE_NAME,),
    "environment": (semconv.ENVIRONMENT, "deployment.environment"),
    "workspace": (semconv.WORKSPACE,),
    "department": (semconv.DEPARTMENT,),
    "virtual_key": (semconv.VIRTUAL_KEY,),
    "trigger": (semconv.RUN_TRIGGER,),
    "execution": (semconv.RUN_EXECUTION,),
    "output_type": (semconv.OUTPUT_TYPE,),
    "result_ref": (semconv.RESULT_REF,),
    "policy_version": (semconv.POLICY_VERSION,),
    "tool_contract_version": (semconv.TOOL_CONTRACT_VERSION,),
    "route_config_version": (semconv.ROUTE_CONFIG_VERSION,),
    "index_version": (semconv.INDEX_VERSION,),
    "app_version": (semconv.SERVICE_VERSION,),
    "summary": (semconv.RUN_SUMMARY,),
    "out_of_scope": (semconv.RUN_OUT_OF_SCOPE,),
    "stop_reason": (semconv.STOP_REASON,),
}
"""Run field -> attribute keys, first present wins; the same in every dialect."""

PREFIXES: Final[Mapping[str, str]] = {
    semconv.FEATURE_FLAG_PREFIX: "feature_flags.",
    semconv.TAG_PREFIX: "tags.",
}
"""Attribute prefix -> label prefix; the rest of the key is kept."""

BY_KEY: Final[Mapping[str, tuple[str, int]]] = {
    key: (name, rank) for name, keys in LABELS.items() for rank, key in enumerate(keys)
}
CHOSEN: Final[Mapping[str, str]] = {
    "sessionid": "session_id",
    "userid": "user_id",
    "conversationid": "conversation_id",
    "threadid": "conversation_id",
    "requestid": "request_id",
}
"""Names that applications give to what has a label, without case, underscores and dots."""
FORCED: Final = frozenset(
    name for name, keys in LABELS.items() if not semconv.TENANCY.isdisjoint(keys)
)

MAPPED: Final[dict[str, str]] = {}
"""Key -> label, from the config's `mappings:`; `dialects.use` fills it."""
MAPPED_RANK: Final = 1000
"""After every key that is known to state the label."""

BASES_MAX: Final = 1024
DISTINCT_MAX: Final = 65_536


def name_of(key: str) -> tuple[str, int] | None:
    """The label an attribute states, and its rank among the keys of that label."""
    found = BY_KEY.get(key)
    if found is None and key in MAPPED:
        return (MAPPED[key], MAPPED_RANK)
    if found is None and key.startswith("agentrun."):
        for prefix, label in PREFIXES.items():
            if key.startswith(prefix) and len(key) > len(prefix):
                return (label + key[len(prefix) :], 0)
    return found


def chosen(name: str) -> str:
    """The label of a metadata key that an application named itself: `userId`, `user_id`, `tier`."""
    return CHOSEN.get(name.replace("_", "").replace(".", "").lower(), f"tags.{name}")


def stated(attributes: Mapping[str, Any]) -> dict[str, str]:
    """Labels in one mapping of attributes."""
    found: dict[str, tuple[int, str]] = {}
    for key, value in attributes.items():
        label = name_of(key)
        if label is None or value is None or value == "":
            continue
        name, rank = label
        if name not in found or rank < found[name][0]:
            found[name] = (rank, as_text(value))
    return {name: text for name, (_, text) in found.items()}


def with_prompt(found: dict[str, str], name: str, version: str) -> None:
    found[f"prompt_versions.{name}"] = version


def with_tags(found: dict[str, str], tags: Sequence[str]) -> None:
    for tag in tags:
        found.setdefault(f"tags.{tag}", "true")


class _Base:
    """What resource and request state, merged once for all their spans."""

    __slots__ = ("below", "forced", "merged")

    def __init__(self, below: dict[str, str], forced: dict[str, str]) -> None:
        self.below = below
        self.forced = forced
        self.merged: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}


class Interner:
    """Merges labels and shares equal results.  Bounded: it forgets everything when it is full.

    `resource` and `ingest` are recognized by identity, hence must not change once given.
    """

    def __init__(self) -> None:
        self._by_identity: dict[tuple[int, int], tuple[Mapping[str, Any], Mapping[str, Any], _Base]]
        self._by_identity = {}
        # Spans of one request come together.
        self._last: tuple[Mapping[str, Any], Mapping[str, Any], _Base] | None = None
        self._by_value: dict[frozenset[tuple[str, str]], _Base] = {}
        self._merged_count = 0

    def merge(
        self, span: dict[str, str], resource: Mapping[str, Any], ingest: Mapping[str, Any]
    ) -> Mapping[str, str]:
        last = self._last
        if last is not None and last[0] is resource and last[1] is ingest:
            base = last[2]
        else:
            base = self._base(resource, ingest)
            self._last = (resource, ingest, base)
        items = tuple(span.items())
        found = base.merged.get(items)
        if found is None:
            if self._merged_count >= DISTINCT_MAX:
                self.__init__()  # type: ignore[misc]  # start over with empty caches
                base = self._base(resource, ingest)
            found = {**base.below, **span, **base.forced} or NO_LABELS
            base.merged[items] = found
            self._merged_count += 1
        return found

    def _base(self, resource: Mapping[str, Any], ingest: Mapping[str, Any]) -> _Base:
        # The mappings are held beside the base, so that their ids cannot be used again.
        identity = (id(resource), id(ingest))
        held = self._by_identity.get(identity)
        if held is not None and held[0] is resource and held[1] is ingest:
            return held[2]
        asked = stated(ingest)
        forced = {name: asked.pop(name) for name in FORCED & asked.keys()}
        below = {**asked, **stated(resource)}
        value = frozenset((*below.items(), *((f"!{name}", text) for name, text in forced.items())))
        base = self._by_value.get(value)
        if base is None:
            if len(self._by_value) >= BASES_MAX:
                self._by_value.clear()
            base = self._by_value[value] = _Base(below, forced)
        if len(self._by_identity) >= BASES_MAX:
            self._by_identity.clear()
        self._by_identity[identity] = (resource, ingest, base)
        return base
