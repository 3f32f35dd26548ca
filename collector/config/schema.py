"""Every setting: its name, type, default, and what it is for.

The reader, the environment's variables, `schemas/config.schema.json` and `docs/configuration.md`
all follow from these classes; `python -m collector.config` writes the latter two.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final, Literal

from collector.config.values import (
    Address,
    Bytes,
    DatabaseName,
    Days,
    Digest,
    Glob,
    HeaderValue,
    Host,
    Identifier,
    Key,
    KeyGlob,
    Name,
    Origin,
    OtlpUrl,
    Pattern,
    Range,
    RuleName,
    Secret,
    SecretUrl,
    Secs,
    StoreUrl,
    WebhookSecret,
    WebhookUrl,
    is_loopback,
    split_address,
)
from otel_agentrun.match import Match
from otel_agentrun.prices import EndpointPrice, ModelPrice, PriceBook
from otel_agentrun.redact import DEFAULT_DETECTORS, RedactSettings
from otel_agentrun.redact_keys import IDENTITY_KEYS, REDACTED_KEYS

MIB: Final = 1024 * 1024
NO_SECRET: Final = Secret("")
DEFAULT_URL: Final = SecretUrl("")

Role = Literal["ingest", "read", "control", "admin"]
Boundary = Literal["trace", "conversation", "session", "explicit"]
WebhookEvent = Literal["finding", "approval", "stop", "run_ended"]
EndStatus = Literal["completed", "failed", "killed", "timed_out"]
StepKind = Literal["run", "plan", "model", "tool", "retrieve", "validate", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsConfig:
    """Encrypts a listener. PEM files, read once at start; without them it speaks plain text."""

    cert_file: Path | None = None
    """Certificate chain, the server's own certificate first."""
    key_file: Path | None = None
    """Private key of that certificate, without a passphrase."""
    client_ca_file: Path | None = None
    """Certificate authorities: clients must then show a certificate one of them signed (mTLS)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerConfig:
    """One listening port. An address other than loopback needs `auth.keys` or `client_ca_file`."""

    address: Address
    """Host and port; port 0 takes a free one. `0.0.0.0` listens on all interfaces."""
    tls: TlsConfig = TlsConfig()
    """Certificate and key; none: plain text."""

    @property
    def host(self) -> str:
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        return split_address(self.address)[1]

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConfig:
    """Where OTLP comes in, and how large it may be."""

    grpc: ListenerConfig = ListenerConfig(address="127.0.0.1:4317")
    """OTLP/gRPC, and the control stream."""
    http: ListenerConfig = ListenerConfig(address="127.0.0.1:4318")
    """OTLP/HTTP, protobuf and JSON."""
    request_bytes_max: Bytes = 64 * MIB
    """Bytes of one request as sent; a larger one is refused for good (413)."""
    decompressed_bytes_max: Bytes = 256 * MIB
    """Bytes of one request after gzip; keeps a zip bomb from filling the memory."""
    nesting_depth_max: Annotated[
        int, Range(4, 100, "OTLP itself nests 4 deep, and a protobuf reader gives up at 100.")
    ] = 32
    """Levels of arrays and maps inside an attribute value; a deeper value costs its span."""
    value_bytes_max: Bytes = 131_072
    """Bytes of one attribute value; a longer one is cut, its length kept, and counted."""
    queue_bytes_max: Bytes = 256 * MIB
    """Bytes of all requests waiting for their acknowledgment; past it senders are told to wait."""
    decoders: Annotated[int, Range(0, 64, "each takes about 120 MB and up to one core.")] = 1
    """Processes that decode and redact; 0 does it in threads of the collector itself."""
    headers: bool = True
    """Take `x-request-id` and the `Alephant-*` headers of a request as attributes of its spans."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiConfig:
    """REST API, `/metrics`, `/healthz` and `/readyz`."""

    address: Address = "127.0.0.1:4319"
    """Host and port; port 0 takes a free one."""
    tls: TlsConfig = TlsConfig()
    """Certificate and key; none: plain text."""
    allowed_hosts: tuple[Host, ...] = ()
    """Host headers taken besides loopback names and the address itself, as of a reverse proxy."""
    allowed_origins: tuple[Origin, ...] = ()
    """Origins whose pages may change state through the API; none: no web page may."""

    @property
    def host(self) -> str:
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        return split_address(self.address)[1]

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadEndpointConfig:
    """The embedded store over ClickHouse's HTTP protocol, read-only (docs/clickhouse-endpoint.md).
    With a server as store it is off: clients ask the server."""

    enabled: bool = True
    """Whether it listens."""
    address: Address = "127.0.0.1:8123"
    """Host and port; port 0 takes a free one. The default is given up where it is taken."""
    tls: TlsConfig = TlsConfig()
    """Certificate and key; none: plain text."""
    queries_max: Annotated[int, Range(1, 8, "each takes cores and memory from ingest.")] = 2
    """Queries that run at the same time."""
    waiting_max: Annotated[int, Range(0, 10_000, "they are held in memory.")] = 64
    """Queries that wait for their turn; further ones are refused (429)."""
    waiting_secs: Secs = 15.0
    """Seconds a query waits for its turn before it is refused (429)."""
    query_secs_max: Secs = 30.0
    """Seconds a query may take."""
    query_threads_max: Annotated[int, Range(1, 64, "it is a number of cores.")] = 2
    """Cores a query may use."""
    memory_bytes_max: Bytes = 1024 * MIB
    """Bytes of memory a query may use."""
    result_rows_max: Annotated[int, Range(1, 1_000_000_000, "a result has rows.")] = 1_000_000
    """Rows of one result; a larger one is an error."""
    result_bytes_max: Bytes = 256 * MIB
    """Bytes of one result, uncompressed; a larger one is an error."""

    @property
    def host(self) -> str:
        return split_address(self.address)[0]

    @property
    def port(self) -> int:
        return split_address(self.address)[1]

    @property
    def loopback(self) -> bool:
        return is_loopback(self.host)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """One key, given in exactly one of three ways. After loading only its digest is left."""

    name: Name
    """What logs and errors call the key."""
    key: Key = NO_SECRET
    """The key itself; prefer one of the next two, which keep it out of the file."""
    key_sha256: Digest = ""
    """SHA-256 of the key in hexadecimal."""
    key_env: str = ""
    """Environment variable that holds the key."""
    roles: tuple[Role, ...] = ("ingest",)
    """What the key allows: `ingest` sends, `read` reads, `control` also stops and approves, `admin`
    everything."""
    workspace: str = ""
    """Stamped on everything sent with the key, whatever the sender says; empty: nothing."""
    department: str = ""
    """Stamped likewise."""
    virtual_key: str = ""
    """Stamped likewise."""
    environment: str = ""
    """Stamped likewise, as `deployment.environment.name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """Who may send and ask."""

    keys: tuple[ApiKey, ...] = ()
    """API keys, sent as bearer tokens. None: everything is allowed, and only loopback listens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalConfig:
    """What is acknowledged and not yet in the store, on disk under `data_dir`."""

    bytes_max: Bytes = 2048 * MIB
    """Bytes on disk; past them senders are told to wait. Bridges an outage of the store."""
    segment_bytes: Bytes = 64 * MIB
    """Bytes after which a new file is begun; space is given back a file at a time."""
    cache_bytes: Bytes = 64 * MIB
    """Bytes of fresh records kept in memory, so that they need not be read back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionConfig:
    """How long rows stay, counted from when they were received. Raw short, structured long."""

    traces_days: Days = 30
    """Days that raw spans stay."""
    logs_days: Days = 30
    """Days that log records stay."""
    content_days: Days = 30
    """Days that large inputs and outputs stay."""
    steps_days: Days = 395
    """Days that steps stay; 395 compares a month with the same one a year before."""
    runs_days: Days = 395
    """Days that runs stay, with their feedback."""
    events_days: Days = 395
    """Days that events (verdicts, approvals, erasures) stay."""
    ledger_days: Days = 3650
    """Days that entries of the decision ledger stay; they hold digests, no text."""
    dead_letters_days: Days = 30
    """Days that traces of what could not be read stay (size and hash, never the bytes)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreConfig:
    """ClickHouse, embedded or as a server."""

    url: StoreUrl = DEFAULT_URL
    """`chdb:///absolute/path` or `chdb://:memory:` (embedded), `clickhouse://`, `clickhouses://`,
    `http://` or `https://` (a server). Empty: `chdb://<data_dir>/store`."""
    database: DatabaseName = "agentrun"
    """Database of all tables; made when it is missing."""
    cluster: Identifier = ""
    """Cluster name for replicated and distributed tables; empty: one server."""
    flush_rows: Annotated[int, Range(1, 10_000_000, "every insert costs the engine a merge.")] = (
        20_000
    )
    """Rows after which an insert begins."""
    flush_secs: Secs = 0.4
    """Seconds after which an insert begins whatever its size: the delay of a span to a run."""
    insert_timeout_secs: Secs = 30.0
    """Seconds an insert may take before it is tried again."""
    retention: RetentionConfig = RetentionConfig()
    """Days by table."""
    inline_value_bytes_max: Bytes = 16_384
    """Bytes of an input or output kept with its step; a longer one goes to a table of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PatternConfig:
    """One more thing to redact."""

    name: RuleName
    """Name of the rule in the marker: `[redacted:<name>:1f2e3d4c]`."""
    regex: Pattern
    """What to replace, in the syntax that RE2 and Python share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedactionConfig:
    """What is never written to disk."""

    detectors: Mapping[str, bool] = field(default_factory=dict)
    """Built-in detectors to switch on or off by name (`email: true`); the others keep their
    default: on for credentials, off for `email`, `phone` and `card`."""
    patterns: tuple[PatternConfig, ...] = ()
    """Patterns of your own, besides the detectors."""
    keys: tuple[KeyGlob, ...] = ()
    """Globs on attribute keys and JSON members whose whole value is a secret, besides the built-in
    ones (`*password`, `*authorization`, ...). Case, `-` and `_` do not matter."""
    identity_keys: tuple[KeyGlob, ...] = IDENTITY_KEYS
    """Keys that say who the user is; a list of your own replaces the built-in one."""
    identity: Literal["auto", "always", "never"] = "auto"
    """Replace values of `identity_keys` with a keyed hash: `auto` where they look like an e-mail
    address or a phone number, `always`, or `never`."""
    content: Literal["full", "redacted", "structure"] = "redacted"
    """Prompts, answers, arguments and results: kept `full` (only credentials are replaced),
    `redacted` (all detectors), or only their `structure` (keys, types, lengths)."""

    def settings(self, key: bytes) -> RedactSettings:
        """The rules in force; `key` is the installation's."""
        on = {name for name, wanted in self.detectors.items() if wanted}
        return RedactSettings(
            key=key,
            detectors=frozenset(DEFAULT_DETECTORS - self.detectors.keys() | on),
            patterns=tuple((pattern.name, pattern.regex) for pattern in self.patterns),
            keys=(*REDACTED_KEYS, *self.keys),
            identity_keys=self.identity_keys,
            identity_mode=self.identity,
            content=self.content,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundaryRule:
    """Another boundary for some runs."""

    match: Match
    """Match expression over a step's names (docs/match.md)."""
    boundary: Boundary
    """What bounds a run there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunsConfig:
    """How spans become runs."""

    boundary: Boundary = "trace"
    """What bounds a run: a `trace`, a `conversation`, a `session`, or only an `explicit` run id."""
    boundaries: tuple[BoundaryRule, ...] = ()
    """Other boundaries by match expression; the first that fits wins over `boundary`."""
    quiet_secs: Secs = 300.0
    """Seconds without news after which a run without an end is closed."""
    lost_secs: Secs = 90.0
    """Seconds without a heartbeat after which a run that sent them is `lost`."""
    linger_secs: Secs = 2.0
    """Seconds an ended run stays in memory: late spans come soon or never."""
    open_steps_max: Annotated[
        int, Range(1000, 100_000_000, "fewer would evict runs that are still open.")
    ] = 400_000
    """Steps of open runs in memory; past it the quietest runs are read back from the store."""

    def boundary_of(self, values: Mapping[str, object]) -> Boundary:
        """What bounds the run of a step that has these values."""
        for rule in self.boundaries:
            if rule.match(values):
                return rule.boundary
        return self.boundary


@dataclass(frozen=True, slots=True, kw_only=True)
class PricesConfig:
    """What calls cost (docs/prices.md)."""

    models: tuple[ModelPrice, ...] = ()
    """Your own prices per token, before the built-in list; the first that fits is used."""
    tools: Mapping[Glob, Annotated[float, Range(0)]] = field(default_factory=dict)
    """USD per call, by glob on the tool's name; the first that fits is used."""
    endpoints: tuple[EndpointPrice, ...] = ()
    """USD per call of paid endpoints; the first that fits is used."""
    use_builtin: bool = True
    """Use the list that comes with this version where no price of yours fits."""

    def book(self) -> PriceBook:
        return PriceBook(
            models=self.models,
            tools=self.tools,
            endpoints=self.endpoints,
            use_builtin=self.use_builtin,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanMappingConfig:
    """Spans of one in-house convention. What it does not say is read as plain GenAI."""

    name: RuleName
    """Name of the dialect, as `dialect` of steps and `dialects` of runs show it."""
    scope: str = ""
    """Glob on the name of the instrumentation scope; empty: any."""
    attribute: str = ""
    """Attribute that marks the spans; empty: none is needed. One of the two must be given."""
    kind_attribute: str = ""
    """Attribute whose value tells the kind of a span; empty: `attribute`."""
    kinds: Mapping[Name, StepKind] = field(default_factory=dict)
    """Kind by value of that attribute."""
    kind: StepKind = "other"
    """Kind of spans whose kind nothing else tells."""
    keys: Mapping[str, tuple[Name, ...]] = field(default_factory=dict)
    """Field -> attributes that hold it, the first present one wins (docs/dialects.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingsConfig:
    """In-house conventions, read like the built-in dialects (docs/dialects.md)."""

    spans: tuple[SpanMappingConfig, ...] = ()
    """Conventions for whole spans; the first that fits a span reads it, before built-in ones."""
    keys: Mapping[str, tuple[Name, ...]] = field(default_factory=dict)
    """Field -> more attributes that hold it, in spans of every dialect; fields of runs
    (`session_id`, `user_id`, ...) are also taken from resources and request headers."""
    headers: Mapping[Name, Name] = field(default_factory=dict)
    """Request header -> attribute that it stands for, besides `x-request-id` and `Alephant-*`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesConfig:
    """Budgets, loops and policies (docs/rules.md)."""

    file: Path | None = None
    """Rules file; none: the built-in rules, which flag and never stop anything. It is read again
    when it changes; one with mistakes is reported, and the rules before it stay in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlConfig:
    """Stop, pause, approve (docs/control.md)."""

    enabled: bool = True
    """Serve the control stream on the OTLP/gRPC port, and act on findings of rules that call for
    `pause` or `kill`; `false`: findings are only recorded, and nobody can direct a run."""
    streams_max: Annotated[int, Range(1, 100_000, "each connected process keeps one.")] = 1000
    """Applications connected at once; past it further ones are told to try again later."""
    remember_secs: Secs = 86_400.0
    """Seconds a directive is in force that nobody answers, and how far back a starting collector
    reads in the store."""
    poll_secs: Secs = 1.0
    """Seconds between readings of what other collectors decided, where the store is a server."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookConfig:
    """One receiver of news (docs/approvals.md)."""

    name: RuleName
    """What metrics and logs call it; also the name of its folder in `<data_dir>/webhooks`."""
    url: WebhookUrl = DEFAULT_URL
    """Where notices are posted; that of a chat is a secret, so prefer `url_env`."""
    url_env: str = ""
    """Environment variable that holds the URL."""
    events: tuple[WebhookEvent, ...] = ("approval", "stop")
    """What is told: a `finding`, an `approval` asked for or answered, a `stop` asked for or carried
    out, a `run_ended`."""
    finding_action: Literal["flag", "warn", "pause", "kill"] = "warn"
    """The mildest action of a finding that is told."""
    statuses: tuple[EndStatus, ...] = ("failed", "killed", "timed_out")
    """Statuses of runs whose end is told; an empty list: all."""
    match: Match | None = None
    """Match expression over a notice and its run (docs/approvals.md); none: everything."""
    format: Literal["json", "slack"] = "json"
    """`json`, or what incoming webhooks of Slack and those compatible with it take."""
    secret: WebhookSecret = NO_SECRET
    """Signs what is sent; prefer one of the next two."""
    secret_env: str = ""
    """Environment variable that holds the secret."""
    secret_file: Path | None = None
    """File that holds the secret; read once at start."""
    timeout_secs: Secs = 10.0
    """Seconds an answer may take before the notice is sent again."""
    give_up_secs: Secs = 86_400.0
    """Seconds after which a notice that nobody took is given up and counted."""
    waiting_max: Annotated[int, Range(1, 1_000_000, "one has to wait while it is sent.")] = 10_000
    """Notices that wait; further ones are dropped and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardTlsConfig:
    """For `https://` endpoints. PEM files; without them the well-known authorities are trusted."""

    ca_file: Path | None = None
    """Certificate authorities to trust instead."""
    cert_file: Path | None = None
    """Certificate to show to the backend."""
    key_file: Path | None = None
    """Private key of that certificate, without a passphrase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardConfig:
    """One OTLP backend that spans are passed on to (docs/forwarding.md)."""

    name: RuleName
    """What metrics and logs call it; also the name of its folder in `<data_dir>/forward`."""
    endpoint: OtlpUrl
    """`http://host:4317` (plain text) or `https://host:4317`; `/v1/traces` is added for HTTP."""
    protocol: Literal["grpc", "http"] = "grpc"
    """OTLP/gRPC, or OTLP/HTTP with protobuf."""
    headers: Mapping[Name, HeaderValue] = field(default_factory=dict)
    """Header -> value; prefer one of the next two for secrets."""
    headers_env: Mapping[Name, Name] = field(default_factory=dict)
    """Header -> environment variable that holds the value."""
    headers_file: Mapping[Name, Path] = field(default_factory=dict)
    """Header -> file that holds the value; read again when the backend refuses it."""
    tls: ForwardTlsConfig = ForwardTlsConfig()
    """Certificates."""
    compression: Literal["gzip", "none"] = "gzip"
    """How requests are compressed."""
    match: Match | None = None
    """Match expression over a span and its run (docs/forwarding.md); none: everything."""
    logs: bool = False
    """Pass log records on too."""
    enrich: bool = True
    """Add what is known of a span's run (`agentrun.run.id`, step kind, agent, cost, ...). Switch it
    off where the backend is an agentrun collector, which finds out by itself."""
    batch_items_max: Annotated[int, Range(1, 100_000, "a request holds at least one item.")] = 2000
    """Spans or log records in one request; it also stays below 3 MiB."""
    timeout_secs: Secs = 10.0
    """Seconds a request may take before it is tried again."""
    buffer_bytes_max: Bytes = 256 * MIB
    """Bytes on disk that wait for this backend; past them the oldest are dropped and counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What the collector says about itself, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is written."""
    format: Literal["text", "json"] = "text"
    """`text` for people, `json` for machines: one object a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Everything an operator can set."""

    data_dir: Path = Path(".agentrun")
    """Folder of the journal, the installation's key and the embedded store; made when missing."""
    receiver: ReceiverConfig = ReceiverConfig()
    """OTLP."""
    api: ApiConfig = ApiConfig()
    """HTTP API."""
    read_endpoint: ReadEndpointConfig = ReadEndpointConfig()
    """ClickHouse protocol for readers."""
    auth: AuthConfig = AuthConfig()
    """API keys."""
    journal: JournalConfig = JournalConfig()
    """Write-ahead log."""
    store: StoreConfig = StoreConfig()
    """ClickHouse."""
    redaction: RedactionConfig = RedactionConfig()
    """Secrets."""
    runs: RunsConfig = RunsConfig()
    """Assembly."""
    prices: PricesConfig = PricesConfig()
    """Money."""
    mappings: MappingsConfig = MappingsConfig()
    """In-house conventions."""
    rules: RulesConfig = RulesConfig()
    """Budgets, loops and policies."""
    forward: tuple[ForwardConfig, ...] = ()
    """OTLP backends that get what comes in, redacted."""
    control: ControlConfig = ControlConfig()
    """Directives to running agents."""
    webhooks: tuple[WebhookConfig, ...] = ()
    """Who is told of findings, approvals, stops and runs that ended."""
    log: LogConfig = LogConfig()
    """Logs."""

    @property
    def listeners(self) -> Mapping[str, ListenerConfig | ApiConfig | ReadEndpointConfig]:
        """Dotted key of each listener -> its settings."""
        listeners: dict[str, ListenerConfig | ApiConfig | ReadEndpointConfig] = {
            "receiver.grpc": self.receiver.grpc,
            "receiver.http": self.receiver.http,
            "api": self.api,
        }
        if self.serves_reads:
            listeners["read_endpoint"] = self.read_endpoint
        return listeners

    @property
    def serves_reads(self) -> bool:
        """Is there an embedded store (an empty URL means one), and an endpoint wanted?"""
        embedded = not self.store.url or self.store.url.lower().startswith("chdb")
        return self.read_endpoint.enabled and embedded

    @property
    def ports(self) -> Mapping[str, tuple[str, int]]:
        """Name of each listener -> (host, port)."""
        return {name: (at.host, at.port) for name, at in self.listeners.items()}
