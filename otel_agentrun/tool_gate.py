"""Policies about calls: judged when a model asks for them, enforced when they start.

Most instrumentations say nothing of a tool call when it starts, so what a model asked for is kept
until then: by call id where that is known, else by name and order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from otel_agentrun.calls import Call
from otel_agentrun.rules.conduct import PolicyRule
from otel_agentrun.rules.schema import Policy
from otel_agentrun.rules.seen import Seen

__all__ = ["ToolGate"]

EXECUTE: Final = "execute_tool "
"""What the conventions put before the tool in a span's name."""
KEPT_MAX: Final = 256
"""Requests of one run that wait for their call; a model may ask for what is never called."""


class Request(NamedTuple):
    """A call that a model asked for, and the rules about it."""

    name: str
    call_id: str
    span_id: str
    rules: tuple[PolicyRule, ...]


class ToolGate:
    """Of one run.  Used under the lock of its rules."""

    __slots__ = ("_requests", "_rules", "approved")

    def __init__(self, policies: Sequence[PolicyRule]) -> None:
        self._rules = [
            rule for rule in policies if rule.policy.policy in ("approval", "forbidden_tool")
        ]
        self._requests: list[Request] = []
        self.approved: dict[str, str] = {}
        """Call ids, and span ids of calls, that were approved -> tool."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    @property
    def judges_arguments(self) -> bool:
        return any(rule.policy.when is not None for rule in self._rules)

    def asked(self, seen: Seen) -> None:
        """A model call ended that may have asked for others."""
        step = seen.step
        for request in step.tool_requests:
            arguments = seen.requested.get(request.call_id) if seen.requested else None
            about = tuple(
                rule
                for rule in self._rules
                if rule.asks_about(request.name, step.agent_name, arguments)
            )
            self._requests.append(Request(request.name, request.call_id, step.span_id, about))
        del self._requests[: max(len(self._requests) - KEPT_MAX, 0)]

    def admit(self, call: Call) -> tuple[Policy, str, str] | None:
        """The severest rule about a call that begins, the tool's name, and the span that asked for
        it ("" none); `None`: it may."""
        if call.call_id and call.call_id in self.approved:
            return None
        request = self._request(call)
        name = request.name if request is not None and not call.is_exact else call.name
        if call.arguments is not None or (request is None and call.is_exact):
            about: Sequence[PolicyRule] = [
                rule for rule in self._rules if rule.asks_about(name, call.agent, call.arguments)
            ]
        elif request is not None:
            about = request.rules
        else:
            # Streamed answers: a tool may begin before the span that asked for it has ended.
            name = call.name.removeprefix(EXECUTE)
            about = [rule for rule in self._rules if _is_named(rule, name)]
        if not about:
            return None
        # Forbidden is forbidden: nobody is asked to approve it first.
        chosen = min(about, key=lambda rule: rule.policy.policy != "forbidden_tool")
        return chosen.policy, name, request.span_id if request is not None else ""

    def _request(self, call: Call) -> Request | None:
        """What asked for the call; it is taken off."""
        for at, request in enumerate(self._requests):
            same = (
                request.call_id == call.call_id
                if call.call_id and request.call_id
                else _names(call, request.name)
            )
            if same:
                return self._requests.pop(at)
        return None


def _is_named(rule: PolicyRule, name: str) -> bool:
    """Whether the name of a span is enough for a rule: it is about names alone, and not of any."""
    policy = rule.policy
    return (
        policy.when is None
        and not any(glob.startswith(("*", "?", "[")) for glob in policy.tools)
        and rule.tools.match(name)
    )


def _names(call: Call, tool: str) -> bool:
    """Whether a call may be one of this tool; spans of tools are named `execute_tool <tool>`,
    `<tool>.run` or by the tool alone."""
    if call.is_exact:
        return call.name == tool
    name = call.name
    return (
        name == tool
        or name.startswith((f"{tool}.", f"{tool} ", f"{tool}("))
        or name.endswith((f" {tool}", f".{tool}", f": {tool}"))
    )
