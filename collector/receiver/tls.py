"""TLS and mTLS for both servers from the same PEM files."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from collector.errors import ConfigError
from collector.receiver.settings import TlsSettings


def ssl_context(tls: TlsSettings) -> ssl.SSLContext:
    """For HTTP.  Raises ConfigError when a file cannot be read or key and certificate differ."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # An empty password: an encrypted key fails instead of asking on the terminal.
        context.load_cert_chain(tls.cert_file, tls.key_file, password="")
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"TLS: cannot use certificate {tls.cert_file} with key {tls.key_file}: {error}.\n"
            "  Why: without them the port would be open to readers on the way.\n"
            "  Fix: give PEM files that this user can read, the key without a passphrase and"
            " belonging to the first certificate."
        ) from error
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"TLS: cannot use client CA file {tls.client_ca_file}: {error}.\n"
                "  Why: clients could not be told apart.\n"
                "  Fix: give a PEM file with one or more CA certificates."
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def grpc_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """For gRPC.  Raises ConfigError like `ssl_context`, which gRPC itself would not explain."""
    ssl_context(tls)
    client_ca = None if tls.client_ca_file is None else _read(tls.client_ca_file)
    return grpc.ssl_server_credentials(
        [(_read(tls.key_file), _read(tls.cert_file))],
        root_certificates=client_ca,
        require_client_auth=client_ca is not None,
    )


def _read(path: Path) -> bytes:
    return path.read_bytes()
