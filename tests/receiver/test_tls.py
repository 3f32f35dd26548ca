"""TLS and mTLS on both ports, with certificates made here."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import httpx
import pytest
from anyio.from_thread import BlockingPortal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from collector.errors import ConfigError
from collector.receiver.grpc_server import GrpcReceiver
from collector.receiver.http_server import HttpReceiver
from collector.receiver.settings import GrpcSettings, HttpSettings, TlsSettings
from collector.receiver.tls import grpc_credentials, ssl_context
from tests.receiver.edge import TRACE_METHOD, Edge, serving
from tests.receiver.requests import JSON, a_trace_request, call

NOW = datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True, slots=True)
class Identity:
    cert: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority in a folder."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    cert: x509.Certificate

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.pem"

    def issue(self, name: str) -> Identity:
        key = ec.generate_private_key(ec.SECP256R1())
        cert = (
            _builder(name, self.cert.subject, key)
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
                ),
                critical=False,
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()),
                critical=False,
            )
            .sign(self.key, hashes.SHA256())
        )
        identity = Identity(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        identity.cert.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
        identity.key.write_bytes(_private(key, serialization.NoEncryption()))
        return identity


def an_authority(folder: Path, name: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    cert = (
        _builder(name, subject, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority = Authority(folder, name, key, cert)
    authority.file.write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    return authority


def _builder(
    name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - datetime.timedelta(minutes=5))
        .not_valid_after(NOW + datetime.timedelta(hours=1))
    )


def _private(
    key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption
) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return an_authority(tmp_path_factory.mktemp("ca"), "ca")


@pytest.fixture(scope="module")
def server(authority: Authority) -> Identity:
    return authority.issue("server")


@pytest.fixture(scope="module")
def tls_edge(portal: BlockingPortal, authority: Authority, server: Identity) -> Iterator[Edge]:
    with serving(portal, tls=TlsSettings(cert_file=server.cert, key_file=server.key)) as edge:
        yield edge


@pytest.fixture(scope="module")
def mtls_edge(portal: BlockingPortal, authority: Authority, server: Identity) -> Iterator[Edge]:
    tls = TlsSettings(cert_file=server.cert, key_file=server.key, client_ca_file=authority.file)
    with serving(portal, tls=tls) as edge:
        yield edge


def post(edge: Edge, authority: Authority, client: Identity | None = None) -> httpx.Response:
    context = ssl.create_default_context(cafile=authority.file)
    if client is not None:
        context.load_cert_chain(client.cert, client.key)
    # A name of the collector's own: a rebound name would fail the certificate check instead.
    return httpx.post(
        f"https://127.0.0.1:{edge.http_port}/v1/traces",
        content=b"{}",
        headers={"content-type": JSON, "host": "collector.internal"},
        verify=context,
    )


def export(edge: Edge, authority: Authority, client: Identity | None = None) -> bytes:
    credentials = grpc.ssl_channel_credentials(
        authority.file.read_bytes(),
        None if client is None else client.key.read_bytes(),
        None if client is None else client.cert.read_bytes(),
    )
    with grpc.secure_channel(edge.grpc_target, credentials) as channel:
        return call(edge, a_trace_request(), method=TRACE_METHOD, channel=channel, timeout=5)


def test_both_ports_serve_tls(tls_edge: Edge, authority: Authority) -> None:
    assert post(tls_edge, authority).status_code == 200
    assert export(tls_edge, authority) == b""
    assert len(tls_edge.intake.calls) == 2


def test_plain_text_on_a_tls_port_is_refused_and_the_server_goes_on(
    tls_edge: Edge, authority: Authority
) -> None:
    with pytest.raises(httpx.HTTPError):
        httpx.post(tls_edge.http_url + "/v1/traces", content=b"{}")
    with pytest.raises(grpc.RpcError) as caught:
        call(tls_edge, a_trace_request(), timeout=2)
    assert caught.value.code() in (
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    )
    assert post(tls_edge, authority).status_code == 200


def test_with_a_client_ca_a_certificate_of_it_is_required(
    mtls_edge: Edge, authority: Authority, tmp_path: Path
) -> None:
    """mTLS: without one, or with one of another authority, no request gets through."""
    known = authority.issue("client")
    stranger = an_authority(tmp_path, "other").issue("stranger")

    for client in (None, stranger):
        with pytest.raises(httpx.HTTPError):
            post(mtls_edge, authority, client)
        with pytest.raises(grpc.RpcError) as caught:
            export(mtls_edge, authority, client)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert mtls_edge.intake.calls == []

    assert post(mtls_edge, authority, known).status_code == 200
    assert export(mtls_edge, authority, known) == b""


def test_unusable_files_are_a_config_error_that_names_them(
    authority: Authority, server: Identity, tmp_path: Path
) -> None:
    """Also a key with a passphrase: asking on a terminal would hang a service."""
    other = authority.issue("another")
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        _private(
            ec.generate_private_key(ec.SECP256R1()), serialization.BestAvailableEncryption(b"pw")
        )
    )
    missing = tmp_path / "missing.pem"
    for tls, named in (
        (TlsSettings(cert_file=missing, key_file=server.key), missing),
        (TlsSettings(cert_file=server.cert, key_file=other.key), other.key),
        (TlsSettings(cert_file=server.cert, key_file=locked), locked),
        (
            TlsSettings(cert_file=server.cert, key_file=server.key, client_ca_file=missing),
            missing,
        ),
    ):
        for load in (ssl_context, grpc_credentials):
            with pytest.raises(ConfigError, match="Fix:") as caught:
                load(tls)
            assert str(named) in str(caught.value)


def test_receivers_do_not_start_with_unusable_files(
    portal: BlockingPortal, edge: Edge, tmp_path: Path
) -> None:
    tls = TlsSettings(cert_file=tmp_path / "none.pem", key_file=tmp_path / "none.key")
    with pytest.raises(ConfigError):
        portal.call(GrpcReceiver(GrpcSettings(port=0, tls=tls), edge.exchange).serve)
    with pytest.raises(ConfigError):
        portal.call(HttpReceiver(HttpSettings(port=0, tls=tls), edge.exchange).serve)
