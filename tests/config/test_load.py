"""One file, variables and options in; one frozen Config or one report of everything wrong out."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.config import Config, Secret, SecretUrl, default_path, load, masked
from collector.errors import ConfigError
from otel_agentrun.prices import EXACT
from otel_agentrun.redact import DEFAULT_DETECTORS
from otel_agentrun.redact import problems as redact_problems
from otel_agentrun.redact_keys import REDACTED_KEYS
from otel_agentrun.step import Usage

Write = Callable[[str], Path]
KEY = "0123456789abcdef-key"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes `agentrun.yaml` in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def write_file(text: str) -> Path:
        path = Path("agentrun.yaml")
        path.write_text(text, encoding="utf-8")
        return path

    return write_file


def report(path: Path | None, env: dict[str, str] | None = None, **overrides: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, env or {}, overrides)
    return str(caught.value)


def heads(text: str) -> list[str]:
    """The first line of each problem; each has exactly a why and a fix after it."""
    lines = text.splitlines()
    assert all(line.startswith("  Why: ") for line in lines[1::3]), text
    assert all(line.startswith("  Fix: ") for line in lines[2::3]), text
    return lines[0::3]


def test_nothing_set_is_a_working_configuration(tmp_path: Path, write: Write) -> None:
    """From a fresh clone `make run` starts without a file; an empty file changes nothing."""
    config = load(None, {})

    assert config == load(write("# nothing\n"), {})
    assert config.ports == {
        "receiver.grpc": ("127.0.0.1", 4317),
        "receiver.http": ("127.0.0.1", 4318),
        "api": ("127.0.0.1", 4319),
        "read_endpoint": ("127.0.0.1", 8123),
    }
    assert "read_endpoint" not in load(None, {}, {"store.url": "clickhouse://db/"}).ports
    assert config.data_dir == Path(".agentrun")
    assert config.store.url == f"chdb://{tmp_path}/.agentrun/store"
    assert config.runs.boundary_of({}) == "trace"


def test_every_section_is_read(write: Write) -> None:
    """All types of settings, from scalars to lists of sections."""
    config = load(
        write(
            f"""
            data_dir: /srv/agentrun
            receiver: {{http: {{address: "[::1]:0"}}, headers: off}}
            api:
            auth:
              keys:
                - {{name: team, key: {KEY}, roles: [ingest, read], workspace: w, environment: prod}}
            store: {{url: "clickhouse://u:p@h:9000/", cluster: c1, retention: {{runs_days: 7}}}}
            redaction:
              detectors: {{email: true, jwt: false}}
              patterns: [{{name: customer, regex: 'C-\\d+'}}]
              keys: ["*.iban"]
              identity: always
            runs:
              quiet_secs: 10
              boundary: session
              boundaries:
                - {{match: 'agent_name == "support"', boundary: conversation}}
            prices:
              models: [{{match: m*, input_usd_per_mtok: 1, output_usd_per_mtok: 1e-1}}]
              tools: {{search_*: 0.5}}
              endpoints: [{{match: api.test, usd: 0.25}}]
              use_builtin: false
            log: {{level: debug, format: json}}
            """
        ),
        {},
    )

    assert config.receiver.http.host == "::1"
    assert config.receiver.http.loopback
    assert config.receiver.headers is False
    assert config.receiver.grpc.address == "127.0.0.1:4317"
    assert config.auth.keys[0].roles == ("ingest", "read")
    assert config.store.retention.runs_days == 7
    assert config.store.retention.traces_days == 30
    assert config.runs.quiet_secs == 10.0
    assert config.runs.boundary_of({"agent_name": "support"}) == "conversation"
    assert config.runs.boundary_of({"agent_name": "sales"}) == "session"
    assert config.log.format == "json"
    book = config.prices.book()
    usage = Usage(input_tokens=10, output_tokens=10)
    assert book.cost_nano_usd(usage, "", "mine", 0) == (11_000, EXACT)
    assert book.tool_cost_nano_usd("search_web") == 500_000_000
    assert book.endpoint_cost_nano_usd("api.test") == 250_000_000
    redact = config.redaction.settings(b"k" * 32)
    assert redact_problems(redact) == ()
    assert redact.detectors == DEFAULT_DETECTORS - {"jwt"} | {"email"}
    assert redact.keys == (*REDACTED_KEYS, "*.iban")
    assert redact.patterns == (("customer", "C-\\d+"),)


def test_later_sources_win(write: Write) -> None:
    """Defaults, the file, variables, the command line."""
    path = write("store: {flush_rows: 1, flush_secs: 1, database: file}\ndata_dir: file\n")
    env = {"AGENTRUN_STORE_FLUSH_SECS": "2", "AGENTRUN_STORE_DATABASE": "env"}

    config = load(path, env, {"store.database": "option", "store.flush_rows": 5})

    assert (config.store.flush_secs, config.store.database) == (2.0, "option")
    assert config.store.flush_rows == 5
    assert config.data_dir == Path("file")


@pytest.mark.parametrize(
    ("variable", "text", "read"),
    [
        ("AGENTRUN_STORE_URL", "http://h:8123", lambda c: c.store.url == "http://h:8123"),
        ("AGENTRUN_DATA_DIR", "123", lambda c: c.data_dir == Path("123")),
        ("AGENTRUN_RECEIVER_HEADERS", "false", lambda c: c.receiver.headers is False),
        (
            "AGENTRUN_API_ALLOWED_HOSTS",
            "[a.test, b]",
            lambda c: c.api.allowed_hosts == ("a.test", "b"),
        ),
        ("AGENTRUN_REDACTION_DETECTORS", "{email: true}", lambda c: c.redaction.detectors["email"]),
        ("AGENTRUN_LOG_LEVEL", "error", lambda c: c.log.level == "error"),
        ("AGENTRUN_STORE_RETENTION_RUNS_DAYS", "9", lambda c: c.store.retention.runs_days == 9),
    ],
)
def test_a_variable_sets_its_setting(
    variable: str, text: str, read: Callable[[Config], object]
) -> None:
    """Every key also as `AGENTRUN_...`; text is not read as YAML, so `123` may be a folder."""
    assert read(load(None, {variable: text}))


def test_all_mistakes_are_in_one_report_with_their_places(write: Write) -> None:
    """STYLE "An error": an operator corrects the file once, not once a mistake."""
    path = write(
        """\
receivr: {}
receiver:
  request_bytes_max: 10
  grpc: {address: localhost}
store:
  flush_secs: soon
  flush_secs: 1
  url: mysql://u:hunter2@h/
redaction:
  detectors: {emial: true}
  patterns:
    - {name: Bad, regex: 'a(b'}
runs:
  boundaries:
    - match: agent_name = "x"
      boundary: trace
    - {match: "a =~ 'x(y'", boundary: conversations}
prices:
  models: [{match: x}]
"""
    )
    text = report(path, {"AGENTRUN_JOURNAL_BYTES_MAX": "many", "AGENTRUN_STORE_ULR": "x"})

    expected = [
        "agentrun.yaml:1:1: receivr: expected a known setting, got `receivr`.",
        "agentrun.yaml:3:22: receiver.request_bytes_max: expected an integer from 1024 to",
        "agentrun.yaml:4:19: receiver.grpc.address: expected an address and a port from 0 to",
        "agentrun.yaml:6:15: store.flush_secs: expected a number from 0.001 to 2592000, got",
        "agentrun.yaml:7:3: store.flush_secs: expected each key once, got `flush_secs` again",
        "agentrun.yaml:8:8: store.url: expected a URL with one of the schemes chdb, clickhouse,",
        "agentrun.yaml:10:15: redaction.detectors.emial: expected a detector, got `emial`.",
        "agentrun.yaml:12:14: redaction.patterns[0].name: expected 1 to 32 of a-z, 0-9 and _,",
        "agentrun.yaml:12:28: redaction.patterns[0].regex: expected a regular expression, got",
        "agentrun.yaml:15:25: runs.boundaries[0].match: expected `==`, got `=` (column 12 of the",
        "agentrun.yaml:17:23: runs.boundaries[1].match: expected a regular expression, got `x(y`",
        "agentrun.yaml:17:39: runs.boundaries[1].boundary: expected `trace`, `conversation`,",
        "agentrun.yaml:19:12: prices.models[0]: expected `input_usd_per_mtok`,",
        "AGENTRUN_JOURNAL_BYTES_MAX: journal.bytes_max: expected an integer from 1024 to",
        "AGENTRUN_STORE_ULR: expected a variable that belongs to a setting, got one that does not.",
    ]
    found = heads(text)
    assert [line[: len(start)] for line, start in zip(found, expected, strict=True)] == expected
    assert "did you mean `receiver`?" in text
    assert "did you mean `AGENTRUN_STORE_URL`?" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "api: {address: 0.0.0.0:4319}",
            "api.address: expected a loopback address, as there are no",
        ),
        ("receiver: {grpc: {address: 'host:1'}}", "receiver.grpc.address: expected a loopback"),
        ("receiver: {http: {address: '[::]:4318'}}", "receiver.http.address: expected a loopback"),
        (
            "api: {address: localhost:4317}",
            "api.address: expected another address than `receiver.grpc",
        ),
        ("api: {tls: {key_file: agentrun.yaml}}", "api.tls.cert_file: expected a file, got none"),
        ("api: {tls: {cert_file: agentrun.yaml}}", "api.tls.key_file: expected a file, got none"),
        (
            "receiver: {grpc: {tls: {cert_file: no, key_file: agentrun.yaml}}}",
            "receiver.grpc.tls.cert_file: expected a path, got no",
        ),
        (
            "receiver: {grpc: {tls: {cert_file: absent, key_file: agentrun.yaml}}}",
            "receiver.grpc.tls.cert_file: expected a readable file, got `absent`",
        ),
        (
            "auth: {keys: [{name: a}]}",
            "auth.keys[0]: expected exactly one of `key`, `key_sha256` and",
        ),
        (
            f"auth: {{keys: [{{name: a, key: {KEY}, key_env: X}}]}}",
            "auth.keys[0]: expected exactly one of `key`, `key_sha256` and `key_env`, got",
        ),
        (
            f"auth: {{keys: [{{name: a, key: {KEY}}}, {{name: b, key: {KEY}}}]}}",
            "auth.keys[1]: expected another key in each entry, got the key of `auth.keys[0]` again",
        ),
        (
            f"auth: {{keys: [{{name: a, key: {KEY}}}, {{name: a, key: {KEY}2}}]}}",
            "auth.keys[1].name: expected a name of its own",
        ),
        (
            f"auth: {{keys: [{{name: a, roles: [], key: {KEY}}}]}}",
            "auth.keys[0].roles: expected at",
        ),
        ("auth: {keys: [{name: a, key_env: GONE}]}", "auth.keys[0].key_env: expected at least 16"),
        (
            "receiver: {request_bytes_max: 300000000, queue_bytes_max: 300000000}",
            "receiver.decompressed_bytes_max: expected at",
        ),
        ("journal: {bytes_max: 1048576}", "journal.bytes_max: expected at least `journal.segment"),
        ("runs: {linger_secs: 400}", "runs.linger_secs: expected less than `runs.quiet_secs`"),
        ("store: {cluster: main}", "store.cluster: expected no cluster with an embedded store"),
        (
            "store: {url: 'chdb://relative/path'}",
            "store.url: expected `:memory:` or an absolute path",
        ),
        ("store: {url: 'clickhouse://'}", "store.url: expected a host, and a port"),
        ("data_dir: 'a#b'", "data_dir: expected a path without `?` and `#`"),
        ("prices: {models: [{match: x}]}", "prices.models[0]: expected `input_usd_per_mtok`,"),
        (
            "prices: {models: [{match: x, input_usd_per_mtok: -1}]}",
            "prices.models[0].input_usd_per_mtok: expected a number of at least 0, got -1",
        ),
        ("prices: {tools: {x: -0.1}}", "prices.tools.x: expected a number of at least 0, got -0.1"),
        (
            "prices: {endpoints: [{match: '', usd: 1}]}",
            "prices.endpoints[0].match: expected a glob",
        ),
        (
            "prices: {endpoints: [{match: x}]}",
            "prices.endpoints[0].usd: expected a value, got none",
        ),
        ("api: {allowed_origins: ['*']}", "api.allowed_origins[0]: expected an origin"),
        ("api: {allowed_hosts: ['a:1']}", "api.allowed_hosts[0]: expected a host name or address"),
        ("redaction: {keys: ['*']}", "redaction.keys[0]: expected a glob that names something"),
        (
            "redaction: {patterns: [{name: jwt, regex: x}]}",
            "redaction.patterns[0].name: expected a name of its own, got `jwt`, which is taken",
        ),
        (
            "redaction: {patterns: [{name: a, regex: '(?=x)y'}]}",
            "redaction.patterns[0].regex: expected a regular expression that RE2 can search for",
        ),
        ("receiver: [1]", "receiver: expected settings, one `key: value` a line, got a list"),
        ("api: {allowed_hosts: a}", "api.allowed_hosts: expected a list, got `a`"),
        ("log: {level: 3}", "log.level: expected `debug`, `info`, `warning` or `error`, got 3"),
        (
            "store: {flush_rows: true}",
            "store.flush_rows: expected an integer from 1 to 10000000, got",
        ),
        (
            "store: {flush_rows: 1.5}",
            "store.flush_rows: expected an integer from 1 to 10000000, got",
        ),
        (
            "store: {flush_secs: .inf}",
            "store.flush_secs: expected a number from 0.001 to 2592000, got",
        ),
        ("store: {database: }", "store.database: expected text, got nothing"),
        ("store: {database: [a]}", "store.database: expected text, got a list"),
        ("just text", "expected settings, one `key: value` a line, got `just text`"),
    ],
)
def test_a_mistake_is_reported_once(text: str, expected: str, write: Write) -> None:
    """Types, formats and contradictions; each is one problem, at a place in the file."""
    (head,) = heads(report(write(text)))

    assert expected in head
    assert head.startswith("agentrun.yaml:1:") or "configuration" in head


@pytest.mark.parametrize(
    "text",
    [
        "a: [1",
        "a: b: c",
        "\t- x",
        "a: &x [*x]",
        "--- a\n--- b\n",
        "a: \x01",
        "%YAML 9.9",
        "*gone",
        "!!x y",
    ],
)
def test_what_is_no_yaml_is_a_report_too(text: str, write: Write) -> None:
    """A broken file is said to be broken, and the variables are still checked."""
    found = heads(report(write(text), {"AGENTRUN_LOG_LEVEL": "loud"}))

    assert any(line.startswith("agentrun.yaml") for line in found)
    assert any(line.startswith("AGENTRUN_LOG_LEVEL: log.level: ") for line in found)


def test_a_file_that_cannot_be_read_is_a_report(tmp_path: Path) -> None:
    """A collector must not start with defaults when it was told otherwise."""
    assert "expected a readable file in UTF-8, got no such file" in report(tmp_path / "absent.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"data_dir: \xe9\n")
    assert "expected a readable file in UTF-8, got 'utf-8' codec" in report(latin)


def test_keys_are_kept_as_digests_only(write: Write) -> None:
    """A memory dump, a log line or a `repr` of the settings gives no key away."""
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    path = write(
        f"""
        auth:
          keys:
            - {{name: plain, key: {KEY}}}
            - {{name: digest, key_sha256: {"AB" * 32}}}
            - {{name: variable, key_env: AGENTRUN_TEAM_KEY, roles: [admin]}}
        receiver: {{grpc: {{address: 0.0.0.0:4317}}}}
        """
    )

    config = load(path, {"AGENTRUN_TEAM_KEY": "another-long-enough-key"})

    assert [key.key for key in config.auth.keys] == ["", "", ""]
    assert [key.key_sha256[:8] for key in config.auth.keys[:2]] == [digest[:8], "abababab"]
    assert KEY not in repr(config)
    assert "another-long" not in repr(config)


@pytest.mark.parametrize(
    ("text", "env"),
    [
        (f"auth: {{keys: [{{name: a, key: [{KEY}]}}]}}", {}),
        ("auth: {keys: [{name: a, key: 98765432109876543210}]}", {}),
        ("auth: {keys: [{name: a, key: tooshort}]}", {}),
        ("auth: {keys: [{name: a, key_sha256: tooshort}]}", {}),
        ("auth: {keys: [{name: a, key_env: K}]}", {"K": "tooshort"}),
        ("store: {url: 'chdb://u:tooshort@h'}", {}),
        ("store: {url: 'clickhouse://u:tooshort@:99999/'}", {}),
        ("store: {url: 'clickhouse://u:a/tooshort@h:99999'}", {}),
        ("store: {url: 'http://h:0/?password=tooshort'}", {}),
    ],
)
def test_no_report_shows_a_secret(text: str, env: dict[str, str], write: Write) -> None:
    """Reports end up in logs and tickets."""
    said = report(write(text), env)

    for secret in (KEY, "98765432109876543210", "tooshort"):
        assert secret not in said


def test_secrets_are_masked_in_repr() -> None:
    """STYLE: secrets are masked in `repr`; the value itself is what the program needs."""
    url = SecretUrl("clickhouse://user:pa:ss@host:9000/db?password=x&secure=1")

    assert "pa:ss" in url
    assert repr(url) == "'clickhouse://user:***@host:9000/db?password=***&secure=1'"
    assert repr(Secret("k")) == "'***'"
    assert repr(load(None, {"AGENTRUN_STORE_URL": str(url)})).count("***") == 2
    for plain in ("chdb:///var/lib/x", "chdb://:memory:", "clickhouse://user@h", "http://h:1/?a=b"):
        assert masked(plain) == plain


def test_other_programs_variables_are_left_alone() -> None:
    """Kubernetes sets variables for every service, the SDK and the command line have their own."""
    others = {
        "AGENTRUN_API_KEY": "x",
        "AGENTRUN_CONFIG": "x",
        "AGENTRUN_COLLECTOR_ENDPOINT": "x",
        "AGENTRUN_SERVICE_HOST": "10.0.0.1",
        "AGENTRUN_API_PORT_4319_TCP_ADDR": "10.0.0.1",
        "AGENTRUN_STORE_SERVICE_PORT": "1",
        "AGENTRUN_RECEIVER_PORT": "tcp://10.0.0.1:4317",
        "PATH": "/bin",
    }

    assert load(None, others) == load(None, {})


def test_the_file_is_found_by_variable_or_in_the_working_directory(write: Write) -> None:
    """Used when the command line names none."""
    assert default_path({}) is None
    write("")
    assert default_path({}) == Path("agentrun.yaml")
    assert default_path({"AGENTRUN_CONFIG": "/etc/a.yaml"}) == Path("/etc/a.yaml")


def test_the_configuration_is_frozen(write: Write) -> None:
    """What was checked at start stays what it was."""
    config = load(write("redaction: {detectors: {email: true}}"), {})

    with pytest.raises(dataclasses.FrozenInstanceError):
        config.data_dir = Path("x")  # type: ignore[misc]  # that is the point
    with pytest.raises(TypeError):
        config.redaction.detectors["phone"] = True  # type: ignore[index]  # that is the point


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["keys", "grpc", "tls", "address", "match", "x"]), inner)
    ),
    max_leaves=8,
)
sections = st.sampled_from([field.name for field in dataclasses.fields(Config)])


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.dictionaries(sections, anything, max_size=4))
def test_any_yaml_is_a_config_or_a_report(tmp_path: Path, document: dict[str, Any]) -> None:
    """Whatever an operator writes, the answer is never a traceback."""
    path = tmp_path / "any.yaml"
    path.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    try:
        config, said = load(path, {}), ""
    except ConfigError as error:
        config, said = None, str(error)

    assert isinstance(config, Config) or heads(said)


@settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_a_config_or_a_report(tmp_path: Path, content: bytes) -> None:
    """The same for a file that is not even text."""
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    try:
        config, said = load(path, {}), ""
    except ConfigError as error:
        config, said = None, str(error)

    assert isinstance(config, Config) or heads(said)
