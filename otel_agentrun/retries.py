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
"""Calls of a run that failed last and are remembered."""

Call = tuple[str, str]
"""Kind and target of a step."""


def recognize(scope: RunScope, call: Call, inputs: Sequence[str]) -> dict[str, Any]:
    """Attributes of a retry; none for a call that did not fail before with these inputs."""
    known = scope.failures.get(call)
    if known is None or known[2] != _digest(inputs):
        return {}
    attempts, reason, _ = known
    return {semconv.RETRY_ATTEMPT: attempts + 1, semconv.RETRY_REASON: reason}


def note(
    scope: RunScope, call: Call, inputs: Sequence[str], found: Failure | None, attempt: int
) -> None:
    """Remember how a call ended: until it succeeds, the next one may be a retry."""
    if found is None or found.status not in FAILED:
        scope.failures.pop(call, None)
    elif len(scope.failures) < FAILURES_MAX or call in scope.failures:
        scope.failures[call] = (attempt, found.error_type, _digest(inputs))


def _digest(inputs: Sequence[str]) -> str:
    # Texts as they were when the call began: the call may have changed its arguments since.
    return hash_bytes("\0".join(inputs).encode("utf-8", "surrogatepass"))
