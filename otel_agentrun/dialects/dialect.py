"""A dialect: a module of tables and functions, compiled for reading.

The module has `NAME`, `KEYS`, `recognizes(span)`, `kind(span)`, `role(span, kind)`, and only what
it needs of `ALSO_READ`, `PREFIXES`, `EVENTS`, `LINKS_JOIN`, `label`, `derive`, `usage`,
`tool_requests` (hot path) and `CONTENT`, `CONTENT_PREFIXES`, `content` (read path).  `recognizes`
looks at the scope and at which keys there are, never at values: its answer is kept for the shape
(`shapes.py`).  Nothing is inherited; docs/dialects.md shows how to write one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any, Final, cast

from otel_agentrun.dialects.tables import NO_KEYS, STATUS_KEYS, TOKENS, Found, Labels, Table
from otel_agentrun.dialects.told import Told
from otel_agentrun.step import Kind, Role, SpanView, Step, ToolRequest, Usage

new = object.__new__


class Dialect:
    """A dialect module, its tables compiled for reading."""

    def __init__(
        self,
        module: ModuleType | SimpleNamespace,
        more: Mapping[str, tuple[str, ...]] = NO_KEYS,
    ) -> None:
        """`more`: field -> keys from the config, read after those of the module."""
        self.module = module
        self.name: str = module.NAME
        self.recognizes: Callable[[SpanView], bool] = module.recognizes
        self.kind: Callable[[SpanView], Kind] = module.kind
        self.role: Callable[[SpanView, Kind], Role] = module.role
        optional = module.__dict__
        self.derive: Callable[[SpanView, Kind, Found, Labels], None] | None = optional.get("derive")
        self.usage: Callable[[SpanView, Found], Usage | None] = optional.get("usage", table_usage)
        self.tool_requests: Callable[[SpanView, Found], tuple[ToolRequest, ...]] | None = (
            optional.get("tool_requests")
        )
        self.told: Callable[[SpanView, Step], Sequence[Told]] | None = optional.get("told")
        self.content: Callable[..., Mapping[str, Any]] | None = optional.get("content")
        self.content_keys: Mapping[str, tuple[str, ...]] = optional.get("CONTENT", {})
        self.content_prefixes: tuple[str, ...] = tuple(optional.get("CONTENT_PREFIXES", ()))
        self.also_read: frozenset[str] = frozenset(optional.get("ALSO_READ", ()))
        self.event_names: frozenset[str] = frozenset(optional.get("EVENTS", ()))
        self.joins_by_links: bool = optional.get("LINKS_JOIN", True)
        self.table = Table(
            module.KEYS, optional.get("PREFIXES", {}), optional.get("label"), more=more
        )

    def reads(self, key: str) -> bool:
        """Does `step()` need this key?  An input only adds its size: see `reads_of_root`."""
        if key in self.also_read or key in STATUS_KEYS:
            return True
        entry = self.table[key]
        return entry is not None and entry[0] != "input"

    def reads_of_root(self, key: str) -> bool:
        entry = self.table[key]
        return entry is not None and entry[0] == "input"


def table_usage(span: SpanView, found: Found) -> Usage | None:
    """Tokens as the table found them; `None` when the emitter gave none."""
    if TOKENS_FOUND.isdisjoint(found):
        return None
    get = found.get
    usage: Any = new(Usage)  # frozen once it is returned
    usage.input_tokens = get("input_tokens")
    usage.output_tokens = get("output_tokens")
    usage.cache_read_tokens = get("cache_read_tokens")
    usage.cache_write_tokens = get("cache_write_tokens")
    usage.reasoning_tokens = get("reasoning_tokens")
    return cast(Usage, usage)


TOKENS_FOUND: Final = frozenset(TOKENS)
