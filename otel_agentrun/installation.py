"""`install()`: OpenTelemetry and otel-agentrun in one call.

    agentrun.install(service_name="support")

Everything it sets up is standard OpenTelemetry and honors the `OTEL_*` variables; providers that
the application has already are used, not replaced.  (The module is not called `install`: as an
attribute of the package that name is the function.)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from opentelemetry import _logs as logs_api
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Sampler

from otel_agentrun import exporters, price_table, runtime
from otel_agentrun import guard as model_guard
from otel_agentrun.content import CHARS_MAX, ContentPolicy, Mode
from otel_agentrun.control_endpoint import ControlEndpoint, control_endpoint
from otel_agentrun.emitter import HEARTBEAT_SECS, SCOPE_NAME, Emitter
from otel_agentrun.exporters import Target
from otel_agentrun.leaving import Exporter, limit_exit
from otel_agentrun.log_wire import LogEncoder
from otel_agentrun.logs import RunLogProcessor
from otel_agentrun.prices import PriceBook
from otel_agentrun.processor import AgentRunSpanProcessor
from otel_agentrun.redact import RedactSettings
from otel_agentrun.sampling import RecordAll

if TYPE_CHECKING:
    from pathlib import Path

    from otel_agentrun.control import ControlClient
    from otel_agentrun.rules import Ruleset

__all__ = ["Installation", "install", "pre_instrument", "uninstall"]

DISABLED: Final = "OTEL_SDK_DISABLED"
OURS_DISABLED: Final = "OTEL_AGENTRUN_DISABLED"
CONTENT: Final = "OTEL_AGENTRUN_CONTENT"
CONTENT_CHARS_MAX: Final = "OTEL_AGENTRUN_CONTENT_CHARS_MAX"
LIVE: Final = "OTEL_AGENTRUN_LIVE"
RULES: Final = "OTEL_AGENTRUN_RULES"
HEARTBEATS: Final = "OTEL_AGENTRUN_HEARTBEAT_SECS"
GUARD: Final = "OTEL_AGENTRUN_GUARD"
MODEL_HOSTS: Final = "OTEL_AGENTRUN_MODEL_HOSTS"
N = TypeVar("N", int, float)
P = TypeVar("P")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What `install` set up or found."""

    tracer_provider: TracerProvider | None = None
    """`None` when OpenTelemetry is disabled."""
    logger_provider: LoggerProvider | None = None
    processor: AgentRunSpanProcessor | None = None
    control: ControlClient | None = None
    """The control stream; `None` where there is none to be."""

    def flush(self, secs: float = 10.0) -> bool:
        """Wait until what has ended so far was handed to the exporters."""
        done = True
        if self.tracer_provider is not None:
            done &= self.tracer_provider.force_flush(round(secs * 1000))
        if self.logger_provider is not None:
            done &= self.logger_provider.force_flush(round(secs * 1000))
        return done


_installed: Installation | None = None
_lock = threading.Lock()


def install(
    *,
    endpoint: str = "",
    headers: Mapping[str, str] | None = None,
    service_name: str = "",
    resource: Mapping[str, Any] | None = None,
    sampler: Sampler | None = None,
    record_unsampled: bool = True,
    tracer_provider: TracerProvider | None = None,
    logger_provider: LoggerProvider | None = None,
    content: Mode | None = None,
    content_chars_max: int | None = None,
    redaction: RedactSettings | None = None,
    live: bool | None = None,
    heartbeat_secs: float | None = None,
    prices: PriceBook | None = None,
    control: bool | str | None = None,
    guard: bool | None = None,
    model_hosts: Sequence[str] | None = None,
    rules: str | Path | Mapping[str, Any] | Ruleset | None = None,
) -> Installation:
    """Set up OpenTelemetry with our processor first; a second call returns what the first one did.

    `endpoint` is the collector's OTLP/HTTP address (`http://127.0.0.1:4318` unless `OTEL_*`
    variables say otherwise).  With `tracer_provider`, or where the application has set a global
    one, that one gets our processor, its exporters stay, and nothing global is set.

    `content` is `off`, `redacted` (the default) or `full`; `live=False` sends no events of running
    runs.  `record_unsampled` lets runs that are not exported be metered and limited.

    `control` is the address of the collector's OTLP/gRPC port, through which it stops runs: beside
    OTLP by default, where grpcio is installed; `False` for none.  `guard=False` lets model calls of
    stopped runs pass; `model_hosts` are hosts of models that the guard does not know.

    `rules` act in this process, the collector reachable or not: a file (`OTEL_AGENTRUN_RULES`
    names one, too) or what it holds; none by default.

    Raises `ValueError` for a setting that makes no sense, `OSError` for a rules file that cannot be
    read, and `ImportError` without an exporter, or without grpcio where `control` is asked for.
    """
    global _installed
    with _lock:
        if _installed is None or tracer_provider not in (None, _installed.tracer_provider):
            if _is("true", DISABLED) or _is("true", OURS_DISABLED):
                return Installation()
            policy = ContentPolicy(
                content or cast(Mode, os.environ.get(CONTENT, "redacted").strip().lower()),
                chars_max=content_chars_max or _number(CONTENT_CHARS_MAX, CHARS_MAX),
                settings=redaction,
            )
            target = Target(endpoint=endpoint, headers=dict(headers or {}))
            hosts = _hosts(model_hosts)
            is_live = live if live is not None else not _is("false", LIVE)
            way = control_endpoint(
                control, endpoint=endpoint, headers=headers,
                is_default=is_live and logger_provider is None,
            )  # fmt: skip
            _look_at(way, is_live)
            known = tracer_provider or _global(trace.get_tracer_provider(), TracerProvider)
            traces = known or TracerProvider(
                sampler=sampler, resource=_resource(service_name, resource)
            )
            made: list[Exporter] = []
            if tracer_provider is None and not _processors(traces):
                for span_exporter in exporters.span_exporters(target):
                    traces.add_span_processor(BatchSpanProcessor(span_exporter))
                    made.append(span_exporter)
            logs = logger_provider or _global(logs_api.get_logger_provider(), LoggerProvider)
            if logs is None and is_live:
                logs = _logs_of(traces, target, made)
                if known is None:
                    logs_api.set_logger_provider(logs)
            processor = AgentRunSpanProcessor(
                prices=prices,
                logger_provider=logs if is_live else None,
                content=policy,
                heartbeat_secs=heartbeat_secs or _number(HEARTBEATS, HEARTBEAT_SECS),
                rules=rules if rules is not None else os.environ.get(RULES, "").strip() or None,
            )
            emitter = runtime.active().emitter
            stream = _stream(way, emitter, logs) if way and emitter and logs else None
            if guard if guard is not None else not _is("false", GUARD):
                model_guard.install(hosts)
            _put_first(traces, processor)
            if record_unsampled:
                _record_all(traces)
            if known is None:
                trace.set_tracer_provider(traces)
            runtime.change(tracer=runtime.tracer_of(traces))
            # Read it now, beside the application, and not in its first model call.
            threading.Thread(target=price_table.builtin, daemon=True).start()
            if made:
                limit_exit(made)
            _installed = Installation(
                tracer_provider=traces,
                logger_provider=logs,
                processor=processor,
                control=stream,
            )
        return _installed


def uninstall() -> None:
    """Send what is left and forget the installation: for tests of applications.

    Our processor leaves the provider, which stays; a global one can be set only once in a process.
    """
    global _installed
    with _lock:
        installed, _installed = _installed, None
        if installed is not None and installed.processor is not None:
            if installed.tracer_provider is not None:
                _take_off(installed.tracer_provider, installed.processor)
            installed.processor.shutdown()
        model_guard.uninstall()
        runtime.reset()


def pre_instrument() -> None:
    """Entry point of `opentelemetry-instrument`: after it has set up the SDK, before it loads
    instrumentations.  A failure is logged: it must not keep the application from starting."""
    try:
        install()
    except Exception as trouble:
        runtime.warn_of("not_installed", trouble)


def _resource(service_name: str, attributes: Mapping[str, Any] | None) -> Resource:
    said = dict(attributes or {})
    if service_name:
        said["service.name"] = service_name
    return Resource.create(said)


def _logs_of(traces: TracerProvider, target: Target, made: list[Exporter]) -> LoggerProvider:
    """A provider beside the one of traces, of the same resource; `made` gets its exporters."""
    logs = LoggerProvider(resource=traces.resource)
    logs.add_log_record_processor(RunLogProcessor())
    for exporter in exporters.log_exporters(target):
        logs.add_log_record_processor(BatchLogRecordProcessor(exporter))
        made.append(exporter)
    return logs


def _look_at(way: ControlEndpoint | None, is_live: bool) -> None:
    """Raises for a control stream that is asked for and cannot be."""
    if way is None or not way.is_asked_for:
        return
    if not is_live:
        raise ValueError(
            "install(control=...): the control stream carries the events of live runs.\n"
            "  Fix: leave out live=False."
        )
    if find_spec("grpc") is None:
        raise ImportError(
            "install(control=...): the control stream needs grpcio, which is not installed.\n"
            "  Fix: pip install 'otel-agentrun[control]'"
        )


def _stream(way: ControlEndpoint, emitter: Emitter, logs: LoggerProvider) -> ControlClient | None:
    """The control stream; it connects with the first run."""
    if find_spec("grpc") is None:
        return None
    try:
        from otel_agentrun.control import ControlClient
    except Exception as trouble:  # protobuf and grpcio of versions that do not fit
        runtime.warn_of("control_not_installed", trouble)
        return None
    resource = logs.resource
    made = ControlClient(
        way,
        runtime.active().verdicts,
        LogEncoder(resource.attributes, SCOPE_NAME, resource.schema_url),
        answer=emitter.answer,
        give_back=emitter.give_back,
        service_name=str(resource.attributes.get("service.name", "")),
        sdk_version=runtime.package_version(),
    )
    emitter.stream = made
    return made


def _hosts(given: Sequence[str] | None) -> Sequence[str]:
    if given is not None:
        return given
    text = os.environ.get(MODEL_HOSTS, "")
    return [host.strip() for host in text.split(",") if host.strip()]


def _global(found: object, kind: type[P]) -> P | None:
    """The global provider where it is one of the SDK: a stand-in is not."""
    return found if isinstance(found, kind) else None


def _processors(provider: TracerProvider) -> tuple[SpanProcessor, ...]:
    return tuple(getattr(provider._active_span_processor, "_span_processors", ()))


def _put_first(provider: TracerProvider, processor: SpanProcessor) -> None:
    """Ours sees a span's end before those that export it."""
    provider.add_span_processor(processor)
    active = provider._active_span_processor
    added = _processors(provider)
    if added and added[-1] is processor:
        with active._lock if hasattr(active, "_lock") else nullcontext():
            others = tuple(each for each in _processors(provider) if each is not processor)
            active._span_processors = (processor, *others)


def _take_off(provider: TracerProvider, processor: SpanProcessor) -> None:
    active = provider._active_span_processor
    with active._lock if hasattr(active, "_lock") else nullcontext():
        active._span_processors = tuple(p for p in _processors(provider) if p is not processor)


def _record_all(provider: TracerProvider) -> None:
    """Wrap the sampler, also of tracers that were made before."""
    if not isinstance(provider.sampler, RecordAll):
        provider.sampler = RecordAll(provider.sampler)
    for tracer in tuple(getattr(provider, "_tracers", {}).values()):
        tracer.sampler = provider.sampler


def _is(word: str, variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() == word


def _number(variable: str, default: N) -> N:
    """A positive number from a variable.  Raises `ValueError` for anything else."""
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    try:
        number = type(default)(text)
    except ValueError:
        number = type(default)(0)
    if not number > 0:
        raise ValueError(
            f"{variable}: expected a positive number, got {text!r}.\n"
            f"  Fix: set it to one, or unset it for {default}."
        )
    return number
