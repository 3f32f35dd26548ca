"""OTLP export requests to Arrow record batches: `collector.model.SPANS` and `LOGS`.

The fast path decodes a request in one call (`ptars`, by `otlp_schema`), validates and flattens it
by column, and lets every text pass the redactor before anything is cut.  What the fast decoder
refuses goes through `otlp_salvage`, so that one bad item costs that item.  Decisions and figures:
docs/adr/0002-decoder.md.

Attribute keys are unique per list; where a sender repeats one, the last value counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from collector.errors import PermanentError, Refusal, TooLargeError
from collector.model import LOGS, SPANS, TIME, Decoded, Signal
from collector.receiver import otlp_json, otlp_logs, otlp_schema, otlp_spans
from collector.receiver.otlp_flatten import (
    Content,
    Items,
    PartsError,
    Ragged,
    Redactor,
    any_values,
    constant_maps,
    unnest,
)
from collector.receiver.otlp_salvage import (
    WireError,
    check_signal,
    count_data_points,
    items,
    salvage,
)
from collector.receiver.otlp_values import Texts, to_text
from otel_agentrun import semconv

__all__ = ["Decoder", "Limits", "Redactor"]

DAY_NS: Final = 86_400 * 10**9
NO_INGEST: Final[Mapping[str, str]] = MappingProxyType({})

ONE_TRACE_KEYS: Final = frozenset({semconv.RUN_ID, semconv.REQUEST_ID})
"""Facts about one run: applied only where no two items of the request are of different traces."""

SIGNALS: Final = (Signal.TRACES, Signal.LOGS)
KINDS: Final[Mapping[Signal, Any]] = {Signal.TRACES: otlp_spans, Signal.LOGS: otlp_logs}
"""Modules with `faults`, `attribute_lists`, `bodies`, `texts`, `columns` and two constants."""
SCHEMAS: Final = {Signal.TRACES: SPANS, Signal.LOGS: LOGS}
EXPORT_REQUESTS: Final[Mapping[Signal, type[Message]]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}

ITEM_TAG: Final = 0x12
"""Field 2, length-delimited."""
SMALL_BYTES: Final = 2 << 20
"""A request of this size does no harm, whatever it holds."""

MESSAGES: Final = {
    "bad_ids": "a trace id is 16 bytes, a span id 8, neither all zero; a parent id 8 or none",
    "bad_times": "times must be set, the end not before the start, and neither many years old nor"
    " in the future (limits.past_days_max, limits.future_secs_max)",
    "bad_utf8": "a text is not valid UTF-8",
    "malformed": "the item, its resource or its scope is not what OTLP defines",
    "too_deep": "a value nests arrays and maps too deep (limits.nesting_depth_max)",
}
"""Reason -> what a sender is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request may hold."""

    value_bytes_max: int = 131_072
    """Longer texts are cut; `agentrun.truncated.<key>` keeps the original length in bytes."""
    nesting_depth_max: int = 32
    """Levels of arrays and maps in one value; an item with more is refused."""
    items_max: int = 262_144
    """Spans or log records; an empty one is 2 bytes on the wire and about 200 in memory."""
    past_days_max: int = 3653
    future_secs_max: int = 86_400


class Valid(NamedTuple):
    """Items that can be stored, their attribute lists by site, and all their values as text."""

    found: Items
    lists: Mapping[str, Ragged]
    values: Texts


class Decoder:
    """Stateless between calls; one may be used by several threads."""

    def __init__(self, limits: Limits | None = None, redactor: Redactor | None = None) -> None:
        self._limits = Limits() if limits is None else limits
        self._redactor = redactor
        self._handlers = {signal: otlp_schema.handler(signal) for signal in SIGNALS}

    def traces(
        self, body: bytes, *, received_at_ns: int, ingest: Mapping[str, str] = NO_INGEST
    ) -> Decoded:
        """A protobuf ExportTraceServiceRequest.  `ingest` goes on every row.

        Raises PermanentError (`malformed`, `wrong_signal`, `too_many_items`) where no item can be
        told from the request; items that cannot be stored are refusals of the result.
        """
        return self._decode(Signal.TRACES, body, received_at_ns, ingest, Counter())

    def logs(
        self, body: bytes, *, received_at_ns: int, ingest: Mapping[str, str] = NO_INGEST
    ) -> Decoded:
        """A protobuf ExportLogsServiceRequest; otherwise as `traces`."""
        return self._decode(Signal.LOGS, body, received_at_ns, ingest, Counter())

    def metrics(self, body: bytes) -> int:
        """Data points of a protobuf ExportMetricsServiceRequest, which are not stored."""
        check_signal(body, Signal.METRICS)
        try:
            return count_data_points(body)
        except WireError as error:
            raise PermanentError(f"no OTLP metrics export request: {error}") from error

    def traces_json(
        self, body: bytes, *, received_at_ns: int, ingest: Mapping[str, str] = NO_INGEST
    ) -> Decoded:
        """The same request in OTLP/JSON."""
        return self._from_json(Signal.TRACES, body, received_at_ns, ingest)

    def logs_json(
        self, body: bytes, *, received_at_ns: int, ingest: Mapping[str, str] = NO_INGEST
    ) -> Decoded:
        """The same request in OTLP/JSON."""
        return self._from_json(Signal.LOGS, body, received_at_ns, ingest)

    def metrics_json(self, body: bytes) -> int:
        """Data points of an OTLP/JSON metrics request, which are not stored."""
        return otlp_json.count_data_points(body)

    def _from_json(
        self, signal: Signal, body: bytes, received_at_ns: int, ingest: Mapping[str, str]
    ) -> Decoded:
        request, refused = otlp_json.to_protobuf(body, signal, self._limits.nesting_depth_max)
        return self._decode(signal, request, received_at_ns, ingest, refused)

    def _decode(
        self,
        signal: Signal,
        body: bytes,
        received_at_ns: int,
        ingest: Mapping[str, str],
        refused: Counter[str],
    ) -> Decoded:
        check_signal(body, signal)
        self._check_count(body)
        kind = KINDS[signal]
        valid, refused = self._valid(signal, body, received_at_ns, refused)
        found, lists, values = valid
        content = Content(
            lists=lists,
            values=values,
            content_site=kind.CONTENT_SITE,
            texts=kind.texts(found),
            truncated=kind.TRUNCATED,
            redactor=self._redactor,
            bytes_max=self._limits.value_bytes_max,
        )
        columns = kind.columns(found, content, received_at_ns)
        rows = len(found.items)
        stamps, redacted = self._stamps(ingest, columns["TraceId"])
        columns["IngestAttributes"] = constant_maps(stamps, rows)
        columns["ReceivedAt"] = pa.array(np.full(rows, received_at_ns)).view(TIME)
        schema = SCHEMAS[signal]
        batch = pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)
        return Decoded(
            batch=batch,
            received=rows + refused.total(),
            refused=tuple(Refusal(why, n, MESSAGES[why]) for why, n in sorted(refused.items())),
            values_cut=content.cut,
            values_redacted=content.redacted + redacted,
        )

    def _check_count(self, body: bytes) -> None:
        # Every item has this tag; counting bytes is cheap, walking the request is not.
        most = self._limits.items_max
        if len(body) <= max(SMALL_BYTES, 2 * most):
            return
        if np.count_nonzero(np.frombuffer(body, np.uint8) == ITEM_TAG) <= most:
            return
        try:
            count = sum(1 for _ in items(body))
        except WireError:
            return  # Not walkable: the salvage path refuses it without holding its items.
        if count > most:
            raise TooLargeError(
                f"the request has {count} items; at most {most} are taken."
                " Why: small items take far more memory than bytes on the wire."
                " Fix: export smaller batches.",
                "too_many_items",
            )

    def _valid(
        self, signal: Signal, body: bytes, received_at_ns: int, before: Counter[str]
    ) -> tuple[Valid, Counter[str]]:
        """What of a request can be stored, and how many items cannot, by reason."""
        refused = before.copy()
        try:
            nested = otlp_schema.to_nested(self._handlers[signal], body)
        except ValueError:
            return self._salvaged(signal, body, received_at_ns, before)
        try:
            return self._checked(signal, nested, received_at_ns, refused), refused
        except PartsError:
            return self._salvaged(signal, body, received_at_ns, before)

    def _salvaged(
        self, signal: Signal, body: bytes, received_at_ns: int, before: Counter[str]
    ) -> tuple[Valid, Counter[str]]:
        """The same by way of the official classes, which merge parts, without what they refuse."""
        saved = salvage(body, signal, self._limits.nesting_depth_max)
        refused = before + saved.refused
        try:
            whole = EXPORT_REQUESTS[signal].FromString(saved.body).SerializeToString()
            nested = otlp_schema.to_nested(self._handlers[signal], whole)
        except (DecodeError, ValueError) as error:
            raise PermanentError(f"no OTLP {signal} export request: {error}") from error
        return self._checked(signal, nested, received_at_ns, refused), refused

    def _checked(
        self, signal: Signal, nested: pa.RecordBatch, received_at_ns: int, refused: Counter[str]
    ) -> Valid:
        """Leave out impossible items, counting them in `refused`."""
        kind, limits = KINDS[signal], self._limits
        found = unnest(nested)
        earliest = received_at_ns - limits.past_days_max * DAY_NS
        latest = received_at_ns + limits.future_secs_max * 10**9
        bad = np.zeros(len(found.items), np.bool_)
        for reason, mask in kind.faults(found, earliest, latest).items():
            if mask.any():
                refused[reason] += int(mask.sum())
                bad |= mask
        if bad.any():
            found = found.keep(~bad)
        while True:
            lists = kind.attribute_lists(found)
            columns = [any_values(entries.values.field("value")) for entries in lists.values()]
            bodies = kind.bodies(found)
            columns += [] if bodies is None else [any_values(bodies)]
            values = to_text(columns, limits.nesting_depth_max)
            if not values.bad:
                return Valid(found, lists, values)
            reasons = owners(found, lists, values.bad)
            if not reasons:
                return Valid(
                    found, lists, values
                )  # What is left belongs to a resource or scope without items.
            refused.update(reasons.values())
            kept = np.ones(len(found.items), np.bool_)
            kept[list(reasons)] = False
            found = found.keep(kept)

    def _stamps(
        self, ingest: Mapping[str, str], trace_ids: pa.StringArray
    ) -> tuple[Mapping[str, str], int]:
        """What to put on every row, redacted, and how many values that changed."""
        if not ingest:
            return NO_INGEST, 0
        stamps = dict(ingest)
        if stamps.keys() & ONE_TRACE_KEYS and len(set(trace_ids.unique().to_pylist()) - {""}) > 1:
            stamps = {key: value for key, value in stamps.items() if key not in ONE_TRACE_KEYS}
        if self._redactor is None or not stamps:
            return stamps, 0
        keys = pa.array(stamps, pa.string())
        values, redacted = self._redactor.values(pa.array(stamps.values(), pa.string()), keys)
        return dict(zip(stamps, values.to_pylist(), strict=True)), redacted


def owners(found: Items, lists: Mapping[str, Ragged], bad: Mapping[int, str]) -> dict[int, str]:
    """Item -> reason, for values (rows of all lists, then bodies) that cannot be read."""
    reasons: dict[int, str] = {}
    rows = np.array(sorted(bad))
    base = 0
    for site, (offsets, entries) in lists.items():
        here = rows[(rows >= base) & (rows < base + len(entries))]
        for row in here.tolist():
            place = int(np.searchsorted(offsets, row - base, side="right")) - 1
            for item in items_of(found, site, place):
                reasons.setdefault(item, bad[row])
        base += len(entries)
    for row in rows[rows >= base].tolist():
        reasons.setdefault(row - base, bad[row])
    return reasons


def items_of(found: Items, site: str, place: int) -> list[int]:
    """The items that hold attribute list `place` of a site."""
    match site:
        case "resources":
            return np.flatnonzero(found.resource_of == place).tolist()
        case "scopes":
            return np.flatnonzero(found.scope_of == place).tolist()
        case "events" | "links":
            return [int(np.searchsorted(found.part(site).offsets, place, side="right")) - 1]
        case _:
            return [place]
