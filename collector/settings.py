"""From what an operator writes (`Config`) to what code passes (settings of each part)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

from collector.clickhouse_http.allowed_settings import QueryLimits
from collector.clickhouse_http.app import Admission
from collector.config import BoundaryRule, Config, ListenerConfig, PricesConfig, TlsConfig
from collector.control.control import ControlSettings
from collector.control.notices import Wanted
from collector.control.webhooks import Webhook
from collector.forward.settings import Backend
from collector.journal.entry import JournalSettings
from collector.pipeline import PipelineSettings
from collector.receiver import decode
from collector.receiver.auth import KeyEntry, Keyring, Role
from collector.receiver.settings import GrpcSettings, HttpSettings, Limits, TlsSettings
from collector.runs.assembler import SECOND, AssemblerSettings
from collector.runs.trace import Pricing
from collector.store.schema import Retention
from otel_agentrun import price_table
from otel_agentrun.dialects.mapping import Mappings, SpanMapping
from otel_agentrun.prices import PriceBook
from otel_agentrun.redact import DEFAULT_DETECTORS, RedactSettings
from otel_agentrun.redact_keys import REDACTED_KEYS
from otel_agentrun.step import Kind, Step, Usage


def keyring(config: Config) -> Keyring:
    return Keyring(
        KeyEntry(
            name=key.name,
            sha256=key.key_sha256,
            roles=frozenset(Role(role) for role in key.roles),
            workspace=key.workspace,
            department=key.department,
            virtual_key=key.virtual_key,
            environment=key.environment,
        )
        for key in config.auth.keys
    )


def tls(config: TlsConfig) -> TlsSettings | None:
    if config.cert_file is None or config.key_file is None:
        return None
    return TlsSettings(
        cert_file=config.cert_file,
        key_file=config.key_file,
        client_ca_file=config.client_ca_file,
    )


def receiver_limits(config: Config) -> Limits:
    receiver = config.receiver
    return Limits(
        request_bytes_max=receiver.request_bytes_max,
        decompressed_bytes_max=receiver.decompressed_bytes_max,
        inflight_bytes_max=receiver.queue_bytes_max,
    )


def decode_limits(config: Config) -> decode.Limits:
    return decode.Limits(
        value_bytes_max=config.receiver.value_bytes_max,
        nesting_depth_max=config.receiver.nesting_depth_max,
    )


def grpc(config: Config) -> GrpcSettings:
    listener: ListenerConfig = config.receiver.grpc
    return GrpcSettings(
        host=listener.host,
        port=listener.port,
        tls=tls(listener.tls),
        limits=receiver_limits(config),
    )


def http(config: Config) -> HttpSettings:
    listener: ListenerConfig = config.receiver.http
    return HttpSettings(
        host=listener.host,
        port=listener.port,
        tls=tls(listener.tls),
        limits=receiver_limits(config),
        allowed_hosts=config.api.allowed_hosts,
        allowed_origins=config.api.allowed_origins,
    )


def query_limits(config: Config) -> QueryLimits:
    reads = config.read_endpoint
    return QueryLimits(
        secs_max=reads.query_secs_max,
        memory_bytes_max=reads.memory_bytes_max,
        result_rows_max=reads.result_rows_max,
        result_bytes_max=reads.result_bytes_max,
        threads_max=reads.query_threads_max,
    )


def read_admission(config: Config) -> Admission:
    reads = config.read_endpoint
    return Admission(
        queries_max=reads.queries_max,
        waiting_max=reads.waiting_max,
        waiting_secs_max=reads.waiting_secs,
    )


def journal(config: Config) -> JournalSettings:
    return JournalSettings(
        directory=config.data_dir / "journal",
        bytes_max=config.journal.bytes_max,
        segment_bytes=config.journal.segment_bytes,
        cache_bytes=config.journal.cache_bytes,
    )


def pipeline(config: Config) -> PipelineSettings:
    return PipelineSettings(flush_rows=config.store.flush_rows, flush_secs=config.store.flush_secs)


def control(config: Config, *, shared_store: bool) -> ControlSettings:
    """`shared_store`: other collectors may write to it."""
    wanted = config.control
    return ControlSettings(
        remember_secs=wanted.remember_secs,
        poll_secs=wanted.poll_secs if shared_store else 0.0,
    )


def retention(config: Config) -> Retention:
    days = config.store.retention
    # The ledger holds nothing that could be resent, and prunes itself.
    longest = max(each for name, each in asdict(days).items() if name != "ledger_days")
    return Retention(
        traces_days=days.traces_days,
        logs_days=days.logs_days,
        content_days=days.content_days,
        steps_days=days.steps_days,
        runs_days=days.runs_days,
        events_days=days.events_days,
        dead_letters_days=days.dead_letters_days,
        # An erased trace stays refused for as long as anything of it could still be resent.
        tombstones_days=longest,
    )


def redaction(config: Config, key: bytes) -> RedactSettings:
    wanted = config.redaction
    switched_on = {name for name, on in wanted.detectors.items() if on}
    switched_off = {name for name, on in wanted.detectors.items() if not on}
    return RedactSettings(
        key=key,
        detectors=(DEFAULT_DETECTORS | switched_on) - switched_off,
        patterns=tuple((pattern.name, pattern.regex) for pattern in wanted.patterns),
        keys=(*REDACTED_KEYS, *wanted.keys),
        identity_keys=wanted.identity_keys,
        identity_mode=wanted.identity,
        content=wanted.content,
    )


def pricing(config: PricesConfig) -> Pricing:
    """Price functions over one price book."""
    book = PriceBook(
        models=config.models,
        tools=config.tools,
        endpoints=config.endpoints,
        use_builtin=config.use_builtin,
    )

    def model(usage: Usage, provider: str, name: str, at_ns: int) -> tuple[int | None, str]:
        return book.cost_nano_usd(usage, provider, name, at_ns)

    def tool(step: Step) -> int | None:
        if step.endpoint:
            if not config.endpoints:
                return None
            return book.endpoint_cost_nano_usd(step.endpoint, _host(step.endpoint))
        if step.kind is not Kind.TOOL:
            return None
        return book.tool_cost_nano_usd(step.tool_name or step.name)

    return Pricing(model=model, tool=tool, version=_price_version(config))


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # no URL: a client may send anything
        return ""


def _price_version(config: PricesConfig) -> str:
    """What a run's `price_version` says: the list, and whether the config has prices of its own."""
    parts = [price_table.builtin().version] if config.use_builtin else []
    own_prices = (config.models, config.tools, config.endpoints)
    if any(own_prices):
        own = hashlib.sha256(repr(own_prices).encode()).hexdigest()[:8]
        parts.append(f"config {own}")
    return " + ".join(parts)


def mappings(config: Config) -> Mappings:
    """Plain values: they travel to the decoder processes."""
    wanted = config.mappings
    return Mappings(
        spans=tuple(
            SpanMapping(
                name=each.name,
                scope=each.scope,
                attribute=each.attribute,
                kind_attribute=each.kind_attribute,
                kinds=dict(each.kinds),
                kind=each.kind,
                keys=dict(each.keys),
            )
            for each in wanted.spans
        ),
        keys=dict(wanted.keys),
    )


def forward(config: Config) -> tuple[Backend, ...]:
    def text(path: Path | None) -> str:
        return "" if path is None else str(path.absolute())

    return tuple(
        Backend(
            name=each.name,
            endpoint=each.endpoint,
            directory=str((config.data_dir / "forward" / each.name).absolute()),
            protocol=each.protocol,
            headers=dict(each.headers),
            header_files={name: text(path) for name, path in each.headers_file.items()},
            ca_file=text(each.tls.ca_file),
            cert_file=text(each.tls.cert_file),
            key_file=text(each.tls.key_file),
            compression=each.compression,
            match=each.match.text if each.match is not None else "",
            logs=each.logs,
            enrich=each.enrich,
            batch_items_max=each.batch_items_max,
            timeout_secs=each.timeout_secs,
            buffer_bytes_max=each.buffer_bytes_max,
        )
        for each in config.forward
    )


def webhooks(config: Config) -> tuple[Webhook, ...]:
    return tuple(
        Webhook(
            name=each.name,
            url=str(each.url),
            wanted=Wanted(
                events=frozenset(each.events),
                finding_action=each.finding_action,
                statuses=frozenset(each.statuses),
            ),
            match=each.match,
            secret=each.secret.encode(),
            format=each.format,
            timeout_secs=each.timeout_secs,
            give_up_secs=each.give_up_secs,
            waiting_max=each.waiting_max,
        )
        for each in config.webhooks
    )


def headers(config: Config) -> Mapping[str, str]:
    """Lower-case header name -> attribute."""
    return {name.lower(): attribute for name, attribute in config.mappings.headers.items()}


def assembler(config: Config) -> AssemblerSettings:
    runs = config.runs
    return AssemblerSettings(
        boundary=_boundary(runs.boundary, runs.boundaries),
        quiet_ns=round(runs.quiet_secs * SECOND),
        lost_ns=round(runs.lost_secs * SECOND),
        linger_ns=round(runs.linger_secs * SECOND),
        steps_max=runs.open_steps_max,
        shared=not str(config.store.url).startswith("chdb"),
    )


def _boundary(default: str, rules: tuple[BoundaryRule, ...]) -> Callable[[Step], str] | None:
    """Boundary of a step; `None` where every run is bounded by its trace, which costs nothing."""
    if not rules:
        return None if default == "trace" else lambda _: default

    def boundary(step: Step) -> str:
        names = step_names(step)
        return next((rule.boundary for rule in rules if rule.match(names)), default)

    return boundary


def step_names(step: Step) -> Mapping[str, object]:
    """What a match expression over a step can name."""
    return {
        **step.labels,
        "kind": step.kind.value,
        "name": step.name,
        "agent_name": step.agent_name,
        "provider": step.provider,
        "model": step.model,
        "tool_name": step.tool_name,
        "dialect": step.dialect,
        "scope": step.scope,
    }
