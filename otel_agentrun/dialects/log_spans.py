"""Log events that stand for a span: coding agents that log their calls instead of tracing them.

An event becomes a span whose ids are digests: of the session and prompt it names (trace), and of
itself (span), so that order and repetition change nothing.  The dialect of its emitter reads that
span like any other; the log record stays as it came.

Sources: see `claude_code.py`, `codex_cli.py`, `gemini_cli.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from otel_agentrun.dialects import claude_code, codex_cli, gemini_cli
from otel_agentrun.step import as_number

NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitter:
    """How one emitter names its events."""

    mark: str
    """Attribute that the span gets, with the event's name: its dialect knows it by it."""
    names: frozenset[str]
    group: tuple[str, ...]
    """Attributes that say which run an event belongs to: those that are there."""
    also_traced: bool
    """Whether an event with a trace id is described by a span, too."""


EMITTERS: Final = (
    Emitter(
        mark=claude_code.EVENT,
        names=frozenset(
            {"claude_code.api_request", "claude_code.api_error", "claude_code.tool_result"}
        ),
        group=("session.id", "prompt.id"),
        also_traced=True,
    ),
    Emitter(
        mark=codex_cli.EVENT,
        names=frozenset(codex_cli.KINDS),
        group=("conversation.id",),
        also_traced=False,
    ),
    Emitter(
        mark=gemini_cli.EVENT,
        names=frozenset(gemini_cli.KINDS),
        group=("session.id", "prompt_id"),
        also_traced=False,
    ),
)
BY_NAME: Final[Mapping[str, Emitter]] = {
    name: emitter for emitter in EMITTERS for name in emitter.names
}
SHORT: Final = "claude_code."
"""Claude Code's records have the full name as their body and a short one as `event.name`."""
NAMES: Final = frozenset(
    {*BY_NAME, *(name.removeprefix(SHORT) for name in BY_NAME if name.startswith(SHORT))}
)
"""Event names worth looking at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSpan:
    """The span that a log event stands for."""

    trace_id: str
    span_id: str
    name: str
    start_ns: int
    end_ns: int
    status_code: str
    status_message: str
    attributes: Mapping[str, str]


def log_span(
    name: str, body: str, at_ns: int, trace_id: str, event_id: str, attributes: Mapping[str, str]
) -> LogSpan | None:
    """The span of an event at its end, `at_ns`; `None` for one that stands for none."""
    if name not in BY_NAME and body.startswith(SHORT):
        name = body
    emitter = BY_NAME.get(name)
    if emitter is None or (emitter.also_traced and trace_id):
        return None
    parts = [f"{key}={attributes[key]}" for key in emitter.group if attributes.get(key)]
    if not parts:
        return None
    failed = _failed(name, attributes)
    if not _is_call(name, attributes, failed=failed):
        return None
    digest = blake2b("\0".join((emitter.mark, *parts)).encode(), digest_size=16)
    duration = as_number(attributes.get("duration_ms")) or 0.0
    message = attributes.get("error.message") or attributes.get("error") or ""
    return LogSpan(
        trace_id=digest.hexdigest(),
        span_id=event_id[:16],
        name=name,
        start_ns=at_ns - max(round(duration * NS_PER_MS), 0),
        end_ns=at_ns,
        status_code="Error" if failed else "Ok",
        status_message=message if failed else "",
        attributes={**attributes, emitter.mark: name},
    )


def _failed(name: str, attributes: Mapping[str, str]) -> bool:
    if name.endswith(".api_error"):
        return True
    if name == "codex.api_request":
        status = as_number(attributes.get("http.response.status_code"))
        return bool(attributes.get("error.message")) or (status is not None and status >= 400)
    return attributes.get("success", "").lower() == "false"


def _is_call(name: str, attributes: Mapping[str, str], *, failed: bool) -> bool:
    """Codex logs a request and its stream: an answered call is counted where its tokens are."""
    if name == "codex.sse_event":
        return attributes.get("event.kind") == "response.completed"
    return name != "codex.api_request" or failed
