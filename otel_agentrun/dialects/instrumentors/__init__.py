"""What single OpenInference instrumentors do differently: one module each, found by its scope.

A module has `SCOPES`, `CHECKED`, `CANNOT_TELL`, and what it needs of `kind(span, stated)`,
`role(span, kind)` (`None`: as everywhere), `derive(span, kind, found, labels)`,
`told(span, step)` and `content(span, kind)`.  `openinference.py` asks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any, Final

from otel_agentrun.dialects.instrumentors import (
    agno,
    clients,
    crewai,
    dspy,
    haystack,
    langchain,
    llama_index,
    openai_agents,
    smolagents,
)
from otel_agentrun.dialects.tables import Found, Labels
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Kind, Role, SpanView, Step

MODULES: Final = (
    langchain, openai_agents, crewai, llama_index, smolagents, haystack, dspy, agno, clients,
)  # fmt: skip


class Instrumentor:
    """One instrumentor's module; `None` for what it does like all others."""

    __slots__ = ("content", "derive", "kind", "role", "told")

    def __init__(self, module: ModuleType) -> None:
        own = module.__dict__
        self.kind: Callable[[SpanView, str], Kind | None] | None = own.get("kind")
        self.role: Callable[[SpanView, Kind], Role | None] | None = own.get("role")
        self.derive: Callable[[SpanView, Kind, Found, Labels], None] | None = own.get("derive")
        self.told: Callable[[SpanView, Step], Sequence[Told]] | None = own.get("told")
        self.content: Callable[[SpanView, Kind], Mapping[str, Any]] | None = own.get("content")


BY_SCOPE: Final[Mapping[str, Instrumentor]] = {
    scope: Instrumentor(module) for module in MODULES for scope in module.SCOPES
}
"""Scope -> instrumentor; the JavaScript ones have names of their own."""
