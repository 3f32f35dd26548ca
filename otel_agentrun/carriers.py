"""The run in what an application sends and receives: HTTP headers, payloads of jobs.

    headers = agentrun.inject(headers)                           # the caller
    with agentrun.run("helper", context=agentrun.extract(request.headers)):     # a child run of it
        ...

    job = {"order": 7, "agentrun": agentrun.inject()}            # a queue
    with agentrun.attached(agentrun.extract(job["agentrun"])):   # the same run, in the worker
        ...

A carrier holds W3C trace context and baggage, and the headers of `propagation`.  Nothing is sent
anywhere but by `inject`, or by `AgentRunPropagator` where it is set as the global propagator.

What a carrier says comes from somebody else: values are bounded and printable, and what is not is
counted (`agentrun.propagation.ignored`) and left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, Final, TypeVar
from urllib.parse import quote_plus

from opentelemetry import baggage, metrics, trace
from opentelemetry import context as otel_context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_agentrun import current, semconv
from otel_agentrun.current import RunScope
from otel_agentrun.propagation import (
    HEADERS,
    PROPERTY_PREFIX,
    attributes_from_baggage,
    attributes_from_headers,
    baggage_from_attributes,
    headers_from_attributes,
)

__all__ = ["AgentRunPropagator", "Carrier", "extract", "inject"]

Carrier = Mapping[str, Any] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers as frameworks have them: a mapping, or pairs; names in any case, values text or bytes."""
M = TypeVar("M", bound=MutableMapping[str, Any])

TRACE: Final = TraceContextTextMapPropagator()
W3C_BAGGAGE: Final = W3CBaggagePropagator()
W3C: Final = ("traceparent", "tracestate", "baggage")
BAGGAGE_BYTES_MAX: Final = 8192
"""Of the whole header: longer ones are refused (W3C Baggage)."""

_ignored = metrics.get_meter("otel_agentrun").create_counter(
    "agentrun.propagation.ignored",
    unit="{value}",
    description="Values of received headers and baggage that were too long, empty, not printable, "
    "repeated, or too many.",
)


def inject(carrier: M | None = None, context: Context | None = None) -> M | dict[str, Any]:
    """Put the current trace, baggage and run into `carrier`, or into a new dict, and return it.

    A header that is there already, in whatever case, is replaced.  Outside of runs there may be
    nothing to put.  Values are text: the carrier can be sent as JSON.
    """
    found: M | dict[str, Any] = {} if carrier is None else carrier
    PROPAGATOR.inject(found, context, AnyCase())
    return found


def extract(carrier: Carrier, context: Context | None = None, *, public: bool = False) -> Context:
    """The context of whoever filled `carrier`, for `run(..., context=)` or `attached()`.

    It is made of `context`, by default the current one.  An empty carrier changes nothing.

    `public`: anybody can send the carrier.  Labels (session, request id, prompt, tags) are still
    taken from its headers; trace, run and baggage are not.
    """
    base = otel_context.get_current() if context is None else context
    return _extracted(_pairs(carrier), base, public=public)


class AgentRunPropagator(TextMapPropagator):
    """The same for instrumentations of HTTP clients, servers and queues:
    `set_global_textmap(AgentRunPropagator())`.

    It includes W3C trace context and baggage.  It fills the headers of every instrumented call,
    whoever is called.
    """

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        here = otel_context.get_current() if context is None else context
        TRACE.inject(carrier, here, setter)
        said = _said(here)
        W3C_BAGGAGE.inject(carrier, _with_baggage(here, said), setter)
        for name, value in headers_from_attributes(said).items():
            setter.set(carrier, name, value)

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        names = {*W3C, *HEADERS, *(str(name) for name in getter.keys(carrier))}
        pairs = [
            (name.lower(), text)
            for name in sorted(names)
            if name.lower() in W3C
            or name.lower() in HEADERS
            or name.lower().startswith(PROPERTY_PREFIX)
            for text in _texts(getter.get(carrier, name))
        ]
        return _extracted(pairs, Context() if context is None else context)

    @property
    def fields(self) -> set[str]:
        return {*W3C, *HEADERS}


PROPAGATOR: Final = AgentRunPropagator()


class AnyCase(Setter[MutableMapping[str, Any]]):
    """Sets a key under the name that it has already: `X-Request-Id` and `x-request-id` are one."""

    def set(self, carrier: MutableMapping[str, Any], key: str, value: str) -> None:
        if key not in carrier:
            key = next((name for name in carrier if str(name).lower() == key), key)
        carrier[key] = value


def _said(context: Context) -> Mapping[str, Any]:
    """What there is to say of the run, or of the request outside of one."""
    scope = current.current(context)
    if scope is None:
        return current.labels(context)
    if scope.agent_name:
        return {**scope.stamps, semconv.GEN_AI_AGENT_NAME: scope.agent_name}
    return scope.stamps


def _with_baggage(context: Context, said: Mapping[str, Any]) -> Context:
    """A context whose baggage says it as well, as far as there is room."""
    size = sum(_size(name, value) for name, value in baggage.get_all(context).items())
    for name, value in baggage_from_attributes(said).items():
        size += _size(name, value)
        if size > BAGGAGE_BYTES_MAX:
            break
        context = baggage.set_baggage(name, value, context)
    return context


def _size(name: str, value: object) -> int:
    """Bytes of an entry in the header, its comma and equals sign included."""
    return len(quote_plus(name)) + len(quote_plus(str(value))) + 2


def _extracted(pairs: list[tuple[str, str]], context: Context, *, public: bool = False) -> Context:
    said, ignored = attributes_from_headers(pairs)
    if public:
        said.pop(semconv.RUN_ID, None)
    else:
        context = _in_trace(pairs, context)
        context, carried, refused = _from_baggage(pairs, context)
        said = {**carried, **said}
        ignored += refused
    if ignored:
        _ignored.add(ignored)
    run_id, parent_id = said.pop(semconv.RUN_ID, ""), said.pop(semconv.RUN_PARENT_ID, "")
    if not said and not run_id:
        return context
    agent_name = said.pop(semconv.GEN_AI_AGENT_NAME, "")
    if not run_id:
        return current.labeled({**current.labels(context), **said}, context)
    here = current.current(context)
    if here is not None and here.run_id == run_id and not here.remote:
        return context  # the run never left the process
    scope = RunScope(said, run_id=run_id, parent_id=parent_id, agent_name=agent_name, remote=True)
    return current.within(scope, context)


def _in_trace(pairs: list[tuple[str, str]], context: Context) -> Context:
    """Below the caller's span; an instrumentation may have put spans of its own in between."""
    w3c = {name: [text] for name, text in reversed(pairs) if name in W3C}
    theirs = trace.get_current_span(TRACE.extract(w3c, Context())).get_span_context()
    ours = trace.get_current_span(context).get_span_context()
    if not theirs.is_valid or theirs.trace_id == ours.trace_id:
        return context
    return trace.set_span_in_context(trace.NonRecordingSpan(theirs), context)


def _from_baggage(
    pairs: list[tuple[str, str]], context: Context
) -> tuple[Context, dict[str, str], int]:
    """The context with the baggage, what that says of the run, and the number of ignored values.

    What is ours leaves the baggage: it would travel on, and name the wrong run from the next one.
    """
    text = next((text for name, text in pairs if name == "baggage"), "")
    if len(text.encode("utf-8", "replace")) > BAGGAGE_BYTES_MAX:
        return context, {}, 1
    if text:
        context = W3C_BAGGAGE.extract({"baggage": [text]}, context)
    entries = [(name, str(value)) for name, value in baggage.get_all(context).items()]
    said, ignored = attributes_from_baggage(entries)
    for name in said:
        context = baggage.remove_baggage(name, context)
    return context, said, ignored


def _pairs(carrier: Carrier) -> list[tuple[str, str]]:
    """(lower-case name, text); values that are no text, such as a job's own, are passed over."""
    items: Any = carrier.items() if hasattr(carrier, "items") else carrier
    return [
        (_text(name).lower(), text)
        for name, value in items
        if isinstance(name, str | bytes)
        for text in _texts(value)
    ]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str | bytes):
        yield _text(value)
    elif isinstance(value, list | tuple | set):
        yield from (_text(each) for each in value if isinstance(each, str | bytes))


def _text(value: str | bytes) -> str:
    """Bytes are UTF-8, or Latin-1 (which HTTP once was) if not."""
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
