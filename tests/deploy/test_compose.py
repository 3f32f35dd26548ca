"""The compose files: what the format allows, what is hardened, and that no password is in them."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from collector.config import load
from tests.deploy.files import (
    COMPOSE,
    COMPOSE_FILES,
    MissingVariableError,
    compose,
    example_env,
)

PINNED = re.compile(r"[\w./-]+:v?\d+(\.\d+)+[\w.-]*(@sha256:[0-9a-f]{64})?")
SECRET_WORD = re.compile(r"(?i)password|passwd|token|secret|api_?key")
by_file = pytest.mark.parametrize("name", COMPOSE_FILES)


def services(name: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose(name)["services"]
    return found


def sources(service: dict[str, Any]) -> list[str]:
    """The secrets of a service, whatever they are called in its container."""
    listed = service.get("secrets", ())
    return [one if isinstance(one, str) else one["source"] for one in listed]


@by_file
def test_the_format_is_that_of_the_compose_specification(name: str) -> None:
    """An option that Compose does not know, or that stands in the wrong place, is found here."""
    pytest.importorskip(
        "check_jsonschema", reason="check-jsonschema (PyPI) brings the schema and is not installed"
    )
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text(encoding="utf-8"))

    jsonschema.validate(compose(name), schema)


@by_file
def test_every_service_is_hardened(name: str) -> None:
    """Pinned, not root, writable only volumes and tmpfs, no capabilities, bounded, watched."""
    for service, options in services(name).items():
        assert PINNED.fullmatch(options["image"]), f"{service}: {options['image']}"
        user, group = options["user"].split(":")
        assert int(user) > 0, f"{service} runs as root"
        assert int(group) > 0, f"{service} runs in root's group"
        assert options["read_only"] is True, service
        assert options["cap_drop"] == ["ALL"], service
        assert "cap_add" not in options, service
        assert "privileged" not in options, service
        assert options["security_opt"] == ["no-new-privileges:true"], service
        assert {"cpus", "mem_limit", "pids_limit"} <= set(options), f"{service} has no limits"
        assert options["networks"], service
        assert "network_mode" not in options, service
        once = options["restart"] == "no"
        assert once == bool(options["healthcheck"].get("disable")), f"{service}: health check"
        for volume in options.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose(name)["volumes"] or volume.endswith(":ro"), volume
            assert "docker.sock" not in volume, service


@by_file
def test_only_loopback_is_published(name: str) -> None:
    """What listens on other addresses was decided by a person (AGENTRUN_BIND)."""
    for service, options in services(name).items():
        for port in options.get("ports", ()):
            assert port.startswith("127.0.0.1:"), f"{service} publishes {port}"


@by_file
def test_no_secret_is_written_in_the_file(name: str) -> None:
    """Secrets are files, whose folder has no default."""
    document = compose(name)
    for service, options in document["services"].items():
        for variable, value in options.get("environment", {}).items():
            if SECRET_WORD.search(variable):
                assert variable.endswith("__FILE"), f"{service}: {variable}={value}"
                assert value.startswith("/run/secrets/"), f"{service}: {variable}={value}"
        assert set(sources(options)) <= set(document["secrets"]), service
    assert set(document["secrets"]) == {
        secret for one in document["services"].values() for secret in sources(one)
    }
    for options in document["secrets"].values():
        assert list(options) == ["file"]
    with pytest.raises(MissingVariableError, match="AGENTRUN_SECRETS"):
        compose(name, {})


@by_file
def test_what_is_mounted_and_built_exists(name: str) -> None:
    """Compose would make an empty folder of a source that is missing."""
    for service, options in services(name).items():
        for volume in options.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (COMPOSE / source).exists(), f"{service}: {source}"
        if "build" in options:
            context = (COMPOSE / options["build"]["context"]).resolve()
            assert (context / options["build"]["dockerfile"]).is_file()
            assert (context / "constraints.txt").is_file()


@by_file
def test_services_wait_for_what_they_need(name: str) -> None:
    """A dependency is a service with a health check, on a network that both are on."""
    found = services(name)
    for service, options in found.items():
        for other, how in options.get("depends_on", {}).items():
            assert how == {"condition": "service_healthy"}
            assert not found[other]["healthcheck"].get("disable")
            assert set(options["networks"]) & set(found[other]["networks"]), (service, other)


def test_the_store_is_on_a_network_without_a_way_out() -> None:
    """ClickHouse is asked by the collector and Grafana, and asks nobody."""
    document = compose("compose.yaml")
    assert document["services"]["clickhouse"]["networks"] == ["store"]
    assert document["networks"]["store"] == {"internal": True}
    assert "ports" not in document["services"]["clickhouse"]
    assert "store" not in document["services"]["demo"]["networks"]


@by_file
def test_prometheus_is_reached_by_grafana_only_and_its_disk_is_bounded(name: str) -> None:
    """Between the collector and Grafana, with a reader's key; nothing can be deleted over HTTP."""
    document = compose(name)
    options = document["services"]["prometheus"]
    assert options["networks"] == ["metrics"]
    assert document["networks"]["metrics"] == {"internal": True}
    on_it = {one for one, found in services(name).items() if "metrics" in found["networks"]}
    assert on_it == {"collector", "prometheus", "grafana"}
    assert "ports" not in options
    assert sources(options) == ["READ_KEY"]
    flags = dict(flag.removeprefix("--").split("=", 1) for flag in options["command"])
    assert re.fullmatch(r"[1-9]\d*d", flags.pop("storage.tsdb.retention.time"))
    assert re.fullmatch(r"[1-9]\d*[MG]B", flags.pop("storage.tsdb.retention.size"))
    mounts = dict(reversed(volume.split(":")[:2]) for volume in options["volumes"])
    assert mounts[flags.pop("config.file")] == "../prometheus/prometheus.yaml"
    assert mounts[flags.pop("storage.tsdb.path")] == "prometheus-data"
    assert flags == {}, "no admin API, no remote write"


def test_the_example_sets_every_variable_that_the_files_use() -> None:
    """Somebody looks there for what can be set."""
    used: set[str] = set()
    for name in COMPOSE_FILES:
        text = (COMPOSE / name).read_text(encoding="utf-8")
        used |= set(re.findall(r"\$\{([A-Z_]+)", text))
    assert used == set(example_env()) - {"COMPOSE_PROFILES"}
    for name in COMPOSE_FILES:  # the defaults are the same values
        assert compose(name) == compose(name, {"AGENTRUN_SECRETS": "./secrets"})


def test_secrets_are_made_once_and_fit_together(tmp_path: Path) -> None:
    """Random, for their owner's eyes, kept when it runs again, and ClickHouse has their digests."""
    folder = tmp_path / "secrets"
    made = made_secrets(folder)
    again = made_secrets(folder)

    assert again == made
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    wanted = {secret for name in COMPOSE_FILES for secret in compose(name)["secrets"]}
    assert set(made) == wanted
    random = [made[name] for name in ("INGEST_KEY", "READ_KEY", "AGENTRUN_API_KEY")]
    random += [made["grafana_admin_password"], made["grafana_clickhouse_password"]]
    assert len(set(random)) == 5
    assert all(re.fullmatch("[0-9a-f]{64}", one) for one in random)
    assert made["OTEL_EXPORTER_OTLP_HEADERS"] == f"Authorization=Bearer%20{made['INGEST_KEY']}"
    url = re.fullmatch(
        r"clickhouse://agentrun:([0-9a-f]{64})@clickhouse:8123/agentrun", made["AGENTRUN_STORE_URL"]
    )
    assert url
    for password in (url[1], made["grafana_clickhouse_password"]):
        sha256 = subprocess.run(
            ["sha256sum"], input=password, capture_output=True, text=True, check=True
        ).stdout.split()[0]
        assert f"sha256>{sha256}</" in made["clickhouse_users.xml"]
        assert password not in made["clickhouse_users.xml"]


def made_secrets(folder: Path) -> dict[str, str]:
    """File -> text of what make-secrets.sh writes."""
    subprocess.run(
        ["sh", str(COMPOSE / "make-secrets.sh"), str(folder)], check=True, capture_output=True
    )
    return {file.name: file.read_text(encoding="utf-8") for file in folder.iterdir()}


@by_file
def test_the_collectors_settings_are_read_with_the_secrets_it_gets(
    name: str, tmp_path: Path
) -> None:
    """With the collector's own reader: the mounted file, and the variables made of its secrets."""
    made = made_secrets(tmp_path)
    options = services(name)["collector"]
    settings = [volume for volume in options["volumes"] if ".yaml:" in volume]
    source = settings[0].split(":")[0]
    env = {secret: made[secret] for secret in sources(options) if secret.isupper()}

    config = load(COMPOSE / source, {**env, "AGENTRUN_DATA_DIR": "/var/lib/agentrun"})

    listening = {config.receiver.grpc.port, config.receiver.http.port, config.api.port}
    published = {int(port.rsplit(":", 1)[1]) for port in options["ports"]}
    assert published == listening == {4317, 4318, 4319}
    assert config.serves_reads == (name == "compose.embedded.yaml")
    if config.serves_reads:
        grafana = services(name)["grafana"]["environment"]
        assert not config.read_endpoint.loopback
        assert grafana["AGENTRUN_CLICKHOUSE_PORT"] == str(config.read_endpoint.port)
    assert {key.name: key.roles for key in config.auth.keys} == {
        "agents": ("ingest",),
        "readers": ("read",),
        "operator": ("admin",),
    }
    assert "collector" in config.api.allowed_hosts
