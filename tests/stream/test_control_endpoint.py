"""Where the control stream goes, by arguments and variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from otel_agentrun.control_endpoint import control_endpoint


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENDPOINT", "LOGS_ENDPOINT", "PROTOCOL", "LOGS_PROTOCOL", "HEADERS", "INSECURE"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    monkeypatch.delenv("OTEL_AGENTRUN_CONTROL", raising=False)


@pytest.mark.parametrize(
    ("variables", "arguments", "address", "is_secure"),
    [
        ({}, {}, "localhost:4317", False),
        ({}, {"endpoint": "http://10.0.0.1:4318"}, "10.0.0.1:4317", False),
        ({}, {"endpoint": "https://otel.example.org"}, "otel.example.org:4317", True),
        ({"ENDPOINT": "http://c:4318/"}, {}, "c:4317", False),
        ({"ENDPOINT": "http://c:4318", "LOGS_ENDPOINT": "http://d:4318/v1/logs"}, {}, "d:4317", 0),
        ({"ENDPOINT": "https://c:14317", "PROTOCOL": "grpc"}, {}, "c:14317", True),
        ({"ENDPOINT": "c:14317", "PROTOCOL": "grpc"}, {}, "c:14317", True),
        (
            {"ENDPOINT": "c:14317", "PROTOCOL": "grpc", "INSECURE": "true"},
            {},
            "c:14317",
            False,
        ),
        ({"ENDPOINT": "http://[::1]:4318"}, {}, "[::1]:4317", False),
        ({"ENDPOINT": "http://c:4318"}, {"control": "https://d:9"}, "d:9", True),
        ({}, {"control": "d:9", "is_default": False}, "d:9", False),
        ({}, {"control": True, "is_default": False}, "localhost:4317", False),
    ],
)
def test_it_is_beside_otlp_unless_it_is_said(
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    arguments: dict[str, Any],
    address: str,
    is_secure: bool,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OTEL_EXPORTER_OTLP_{name}", value)

    found = control_endpoint(arguments.pop("control", None), **arguments)

    assert found is not None
    assert (found.address, found.is_secure) == (address, is_secure)


@pytest.mark.parametrize(
    ("variable", "address"),
    [("true", "localhost:4317"), ("http://d:9", "d:9"), ("false", None), ("", None)],
)
def test_the_variable_counts_where_the_argument_says_nothing(
    monkeypatch: pytest.MonkeyPatch, variable: str, address: str | None
) -> None:
    monkeypatch.setenv("OTEL_AGENTRUN_CONTROL", variable)

    found = control_endpoint(None, is_default=False)

    assert (found and found.address) == address
    assert control_endpoint(False) is None


def test_headers_are_those_of_otlp(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC takes keys of small letters only."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Bearer%20k,X-Team=a")

    by_variable, by_argument = control_endpoint(True), control_endpoint(True, headers={"A": "b"})

    assert by_variable is not None
    assert by_argument is not None
    assert dict(by_variable.headers) == {"authorization": "Bearer k", "x-team": "a"}
    assert by_argument.headers == (("a", "b"),)
    assert "Bearer k" not in repr(by_variable)


def test_certificates_are_those_of_otlp(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"pem")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", str(ca))

    secure, plain = control_endpoint("https://c:4317"), control_endpoint("http://c:4317")

    assert secure is not None
    assert plain is not None
    assert (secure.ca, plain.ca) == (b"pem", None)


@pytest.mark.parametrize("address", ["", "http://", "ftp://c:1", "http://c:port"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="Fix: give the collector's OTLP/gRPC port"):
        control_endpoint(address)
