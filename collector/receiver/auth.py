"""API keys: who sends, and what that sender may do.  Shared by the receivers and the REST API.

Only SHA-256 digests of keys are held.  Keys are random and long (`agentrun` makes 256-bit ones), so
a plain digest is enough; it is not a password hash.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import unquote

from collector.errors import ForbiddenError, UnauthenticatedError
from otel_agentrun import semconv


class Role(StrEnum):
    """What a key allows.  `admin` implies all others, `control` implies `read`."""

    INGEST = "ingest"
    READ = "read"
    CONTROL = "control"
    ADMIN = "admin"


IMPLIED: Final[Mapping[Role, frozenset[Role]]] = {
    Role.INGEST: frozenset({Role.INGEST}),
    Role.READ: frozenset({Role.READ}),
    Role.CONTROL: frozenset({Role.CONTROL, Role.READ}),
    Role.ADMIN: frozenset(Role),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """The sender of a request."""

    name: str
    roles: frozenset[Role]
    """Implied roles included."""
    stamps: Mapping[str, str]
    """Attributes of everything this sender exports; they win over what the sender says."""

    def allows(self, role: Role) -> bool:
        return role in self.roles

    def require(self, role: Role) -> None:
        """Raises ForbiddenError."""
        if role not in self.roles:
            raise ForbiddenError(
                f"API key `{self.name}` lacks the role `{role}`: it has"
                f" {', '.join(f'`{held}`' for held in sorted(self.roles)) or 'none'}."
                " Add the role to the key in the collector's configuration, or use another key."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """One configured key.  Empty tenancy fields stamp nothing."""

    name: str
    sha256: str = field(repr=False)
    """64 hex digits: `key_digest(key)`."""
    roles: frozenset[Role] = frozenset({Role.INGEST})
    workspace: str = ""
    department: str = ""
    virtual_key: str = ""
    environment: str = ""

    def principal(self) -> Principal:
        stamps = {
            semconv.WORKSPACE: self.workspace,
            semconv.DEPARTMENT: self.department,
            semconv.VIRTUAL_KEY: self.virtual_key,
            semconv.ENVIRONMENT: self.environment,
        }
        return Principal(
            name=self.name,
            roles=frozenset().union(*(IMPLIED[role] for role in self.roles)),
            stamps={key: value for key, value in stamps.items() if value},
        )


ANONYMOUS: Final = Principal(name="anonymous", roles=frozenset(Role), stamps={})
"""Whoever reaches a collector that has no keys: by configuration only a loopback peer, or one that
showed a client certificate."""


def key_digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


class Keyring:
    """All configured keys."""

    def __init__(self, entries: Iterable[KeyEntry] = ()) -> None:
        self._keys = [(bytes.fromhex(entry.sha256), entry.principal()) for entry in entries]

    @property
    def is_empty(self) -> bool:
        """No keys: whoever may connect is `ANONYMOUS`."""
        return not self._keys

    def authenticate(
        self,
        authorization: str | None,
        *,
        peer_is_loopback: bool,
        peer_is_verified: bool = False,
    ) -> Principal:
        """The sender who shows this `Authorization` header (or gRPC metadata value).

        With keys configured one of them is required from every peer.  Without, loopback peers and
        those whose client certificate was verified are `ANONYMOUS`.  Raises UnauthenticatedError.
        """
        if self.is_empty:
            if peer_is_loopback or peer_is_verified:
                return ANONYMOUS
            raise UnauthenticatedError(
                "This collector has no API keys and takes requests from this host only."
                " Configure `auth.keys`, or a client CA, to send from elsewhere."
            )
        if not authorization:
            raise UnauthenticatedError(
                "API key missing. Send it as the header `Authorization: Bearer <key>`;"
                " SDK exporters: OTEL_EXPORTER_OTLP_HEADERS='Authorization=Bearer%20<key>'."
            )
        token = _token(authorization)
        digest = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        found: Principal | None = None
        # Every key is compared, so that time tells nothing about which one came close.
        for known, principal in self._keys:
            if hmac.compare_digest(known, digest):
                found = principal
        if found is None:
            raise UnauthenticatedError(
                "API key not known to this collector. Check the key, or add its digest to"
                " the collector's configuration."
            )
        return found


def _token(authorization: str) -> str:
    """The key in `Bearer <key>`, or the password in `Basic`, which Langfuse exporters send.

    Raises UnauthenticatedError.
    """
    scheme, _, rest = authorization.strip().partition(" ")
    rest = rest.strip()
    match scheme.lower():
        case "bearer" if rest:
            return rest
        case "basic" if rest:
            try:
                return base64.b64decode(rest, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                pass
    raise UnauthenticatedError(
        "Authorization header not understood: expected `Bearer <key>`, or `Basic` with the key as"
        " the password."
    )


def is_loopback(peer: str) -> bool:
    """Whether a peer is on this host: `host:port`, `[v6]:port`, a gRPC `ipv4:…` / `unix:…` form."""
    if peer.startswith("unix:"):
        return True
    host = unquote(peer.removeprefix("ipv4:").removeprefix("ipv6:")).rpartition(":")[0]
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
