"""Where the store is: `chdb:///path`, `chdb://:memory:`, `clickhouse[s]://…`, `http[s]://…`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from collector.errors import ConfigError

MEMORY: Final = ":memory:"
SECURE: Final = frozenset({"clickhouses", "https"})
PLAIN: Final = frozenset({"clickhouse", "http"})
TLS_OPTIONS: Final = frozenset(
    {"verify", "ca_cert", "client_cert", "client_cert_key", "server_host_name"}
)
TIMEOUTS: Final = {"connect_timeout": 5, "send_receive_timeout": 60}
"""Seconds.  A server that is down must be noticed soon: the journal holds meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreUrl:
    """A parsed store URL.  Printing it shows no password."""

    shown: str
    arguments: Mapping[str, Any] = field(repr=False)
    """For `clickhouse_connect.get_client`."""
    embedded: bool
    path: str = ""
    """Folder of an embedded store, "" in memory."""
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    """ClickHouse settings from the URL's query."""

    def __str__(self) -> str:
        return self.shown


def parse_url(url: str) -> StoreUrl:
    """Raises ConfigError with what is wrong and what would be right; never shows a password."""
    scheme = url.partition("://")[0].lower()
    if scheme == "chdb":
        return _embedded(url)
    if scheme in SECURE | PLAIN:
        return _server(url, secure=scheme in SECURE)
    raise _invalid(f"unknown scheme {scheme!r}")


def _embedded(url: str) -> StoreUrl:
    location = url.partition("://")[2].partition("?")[0]
    if location in (MEMORY, "memory"):
        return StoreUrl(
            shown="chdb://:memory:",
            arguments={"interface": "chdb", "path": MEMORY},
            embedded=True,
        )
    if not location.startswith("/"):
        raise _invalid("an embedded store needs an absolute path")
    path = os.path.realpath(unquote(location))
    return StoreUrl(
        shown=f"chdb://{path}",
        arguments={"interface": "chdb", "path": path},
        embedded=True,
        path=path,
    )


def _server(url: str, *, secure: bool) -> StoreUrl:
    try:
        parts = urlsplit(url)
        port = parts.port or (8443 if secure else 8123)
    except ValueError as error:
        raise _invalid("host or port cannot be read") from error
    if not parts.hostname:
        raise _invalid("the host is missing")
    database = unquote(parts.path.strip("/"))
    arguments: dict[str, Any] = {
        "host": parts.hostname,
        "port": port,
        "username": unquote(parts.username or "default"),
        "password": unquote(parts.password or ""),
        "interface": "https" if secure else "http",
        "autogenerate_session_id": False,  # sessions would serialize queries and pin a replica
        **TIMEOUTS,
    }
    settings: dict[str, str] = {}
    for key, value in parse_qsl(parts.query):
        if key in TLS_OPTIONS:
            arguments[key] = value
        elif key in TIMEOUTS:
            arguments[key] = int(value) if value.isdecimal() else TIMEOUTS[key]
        else:
            settings[key] = value
    user = f"{parts.username}@" if parts.username else ""
    scheme = "clickhouses" if secure else "clickhouse"
    return StoreUrl(
        shown=f"{scheme}://{user}{parts.hostname}:{port}" + (f"/{database}" if database else ""),
        arguments=arguments,
        embedded=False,
        database=database,
        settings=settings,
    )


def _invalid(why: str) -> ConfigError:
    return ConfigError(
        f"store: {why}.\n"
        "  Fix: use chdb:///absolute/path, chdb://:memory: or "
        "clickhouse://user:password@host:8123/database (clickhouses:// for TLS)."
    )
