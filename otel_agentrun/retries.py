"""A call that is made again with the same input after it failed is a retry, for that reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from otel_agentrun import semconv
from otel_agentrun.current import RunScope
from otel_agentrun.errors import FAILED, Failure
from otel_agentrun.plain_json import hash_bytes

__all__ = ["note", "recognize"]

FAILURES_MAX: Final = 256
"""Calls of a run that failed and are remembered; of more the oldest are forgotten."""

Call = tuple[str, str]
"""Kind and target of a step."""


def recognize(scope: RunScope, call: Call, inputs: Sequence[str]) -> dict[str, Any]:
    """Attributes of a retry; none for a call that did not fail before with these inputs."""
    known = scope.failures.get((*call, _digest(inputs)))
    if known is None:
        return {}
    attempts, reason = known
    return {semconv.RETRY_ATTEMPT: attempts + 1, semconv.RETRY_REASON: reason}


def note(
    scope: RunScope, call: Call, inputs: Sequence[str], found: Failure | None, attempt: int
) -> None:
    """Remember how a call ended: until it succeeds, the next one may be a retry."""
    failures, key = scope.failures, (*call, _digest(inputs))
    failures.pop(key, None)
    if found is None or found.status not in FAILED:
        return
    if len(failures) >= FAILURES_MAX:
        failures.pop(next(iter(failures), key), None)
    failures[key] = (attempt, found.error_type)


def _digest(inputs: Sequence[str]) -> str:
    # Texts as they were when the call began: the call may have changed its arguments since.
    return hash_bytes("\0".join(inputs).encode("utf-8", "surrogatepass"))
