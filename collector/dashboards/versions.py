"""What changes under an agent, and what a comparison of before and after is made of.

A version is compared with the one that the same agent had before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final


def _one(subject: str, column: str) -> str:
    return f"[(toString({subject}), toString({column}))]"


def _each(column: str) -> str:
    return f"arrayMap((n, v) -> (toString(n), toString(v)), mapKeys({column}), mapValues({column}))"


_KINDS: Final[Mapping[str, str]] = {
    "prompt": _each("PromptVersions"),
    "agent": _one("AgentName", "AgentVersion"),
    "application": _one("ServiceName", "AppVersion"),
    "policy": _one("'policy'", "PolicyVersion"),
    "tool-contract": _one("'tools'", "ToolContractVersion"),
    "route": _one("'route'", "RouteConfigVersion"),
    "index": _one("'index'", "IndexVersion"),
    "model": "arrayMap(m -> ('model', toString(m)), Models)",
    "feature-flag": _each("FeatureFlags"),
}
"""Kind of version -> an array over `runs` of (what has the version, the version)."""

VERSIONS: Final[Mapping[str, str]] = {
    kind: f"arrayJoin(arrayFilter(one -> one.2 != '', {found}))" for kind, found in _KINDS.items()
}
"""Dimension -> a tuple (what has the version, the version); a run counts once for each, and not at
all where it states none."""

EVERY_VERSION: Final = (
    "arrayJoin(arrayFilter(one -> one.3 != '', arrayConcat("
    + ", ".join(
        f"arrayMap(one -> ('{kind}', one.1, one.2), {found})" for kind, found in _KINDS.items()
    )
    + ")))"
)
"""All kinds at once: (kind, what has the version, the version)."""

COMPLAINT: Final = (
    "(Outcome IN ('soft_failure', 'process_failure') OR arrayExists(said ->"
    " lower(said) IN ('soft_failure', 'process_failure', 'failure', 'fail', 'failed', 'bad',"
    " 'negative', 'thumbs_down', 'down', 'dislike', 'incorrect', 'unhelpful')"
    " OR toFloat64OrDefault(said, toFloat64(1)) <= 0, mapValues(Quality)))"
)
"""Did somebody, or an evaluation, complain about the run?  A label that says so, or a score of 0 or
below."""
