"""Who may ask what: the gate in front of every route, before a body is read.

A web page that somebody has open must not reach a collector on the same machine:
- a DNS name that was rebound to 127.0.0.1 fails on `Host` (addresses and `localhost` cannot be
  rebound, other names must be configured);
- a form or script of another site fails on `Origin`, and, as a request that changes state needs
  a JSON type or the header `X-Agentrun-Request`, on the preflight that no CORS header answers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.api.errors import answer
from collector.api.values import RequestError
from collector.errors import ForbiddenError, PermanentError, TooLargeError
from collector.receiver.auth import Keyring, Principal, Role, is_loopback
from collector.receiver.browser import check_host
from otel_agentrun import semconv

BODY_MAX_BYTES: Final = 1 << 20
REQUEST_HEADER: Final = "x-agentrun-request"
"""Any value; a request without a body sends it instead of a JSON content type."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Asked by schedulers under any Host and without a key; they show details only to `read`."""


def tenant(principal: Principal) -> str:
    """The only workspace this principal sees; "" for all."""
    if principal.allows(Role.ADMIN):
        return ""
    return principal.stamps.get(semconv.WORKSPACE, "")


def require_any(principal: Principal, *roles: Role) -> None:
    """Raises ForbiddenError unless the principal has one of `roles`."""
    if not any(principal.allows(role) for role in roles):
        principal.require(roles[0])


def origin_allowed(origin: str, host: str, allowed: Collection[str]) -> bool:
    """Is the page the collector's own, or of a configured origin?  `null` never is."""
    if origin in allowed:
        return True
    parts = urlsplit(origin)
    return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()


class Gate:
    """ASGI middleware: Host, Origin, content type, key and size, in this order.

    What it admits finds its `Principal` in `request.state.principal`.  `peers_verified`: the server
    takes only connections with a client certificate that it verified.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keyring: Keyring,
        peers_verified: bool = False,
        allowed_hosts: Collection[str] = (),
        allowed_origins: Collection[str] = (),
    ) -> None:
        self._app = app
        self._keyring = keyring
        self._peers_verified = peers_verified
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._origins = frozenset(allowed_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.lower(): value for name, value in Headers(scope=scope).items()}
        try:
            scope.setdefault("state", {})["principal"] = self._admit(scope, headers)
            length = headers.get("content-length", "0")
            if length.isdecimal() and int(length) > BODY_MAX_BYTES:
                raise too_large()
        except PermanentError as error:
            await answer(error)(scope, receive, send)
            return
        await self._app(scope, _bounded(receive), send)

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> Principal | None:
        """Raises PermanentError.  `None`: a probe whose sender is not to see details."""
        probe = scope["path"] in PROBES
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            check_host(host, self._hosts)
            if origin is not None and not origin_allowed(origin, host, self._origins):
                raise ForbiddenError(f"requests from pages of {origin} are not allowed")
            if scope["method"] not in SAFE_METHODS and not _deliberate(headers):
                raise NotJson(headers.get("content-type", ""))
            peer = scope.get("client") or ("", 0)
            return self._keyring.authenticate(
                headers.get("authorization"),
                peer_is_loopback=is_loopback(f"{peer[0]}:{peer[1]}"),
                peer_is_verified=self._peers_verified,
            )
        except PermanentError:
            if probe:
                return None
            raise


class NotJson(RequestError):
    """415: a state-changing request without a JSON content type."""

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"content type {content_type!r} is not accepted",
            "Send `Content-Type: application/json`, or `X-Agentrun-Request: 1` without a body.",
            "content_type",
        )


def too_large() -> TooLargeError:
    return TooLargeError(f"the request body is over the limit of {BODY_MAX_BYTES} bytes")


def _deliberate(headers: Mapping[str, str]) -> bool:
    """Did code that may talk to us make this request?  A form of another page cannot."""
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    return content_type == "application/json" or REQUEST_HEADER in headers


def _bounded(receive: Receive) -> Receive:
    """A body without a length is counted as it comes."""
    seen = 0

    async def receive_bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > BODY_MAX_BYTES:
            raise too_large()
        return message

    return receive_bounded
