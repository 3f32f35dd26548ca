"""Keeping web pages from posting to a collector on the same machine (DESIGN section 10).

A page can send cross-origin requests, and after DNS rebinding same-origin ones; the first carry an
Origin that is not ours, the second a Host that is not ours.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection

from collector.errors import ForbiddenError


def check_origin(origin: str | None, allowed: Collection[str]) -> None:
    """Raises ForbiddenError when a browser sent this for a page that is not allowed."""
    if origin is not None and origin not in allowed:
        raise ForbiddenError(
            f"Origin {origin[:100]!r} is not allowed: web pages may not send to this collector."
            " Add it to `allowed_origins` if this page is yours."
        )


def check_host(host: str | None, allowed: Collection[str]) -> None:
    """Raises ForbiddenError unless `host` (the Host header) is an IP address, localhost or allowed.

    An IP address cannot be rebound: only a name can be made to point here by someone else.
    """
    name = host_name(host or "")
    if name == "localhost" or name.endswith(".localhost") or _is_ip(name) or name in allowed:
        return
    raise ForbiddenError(
        f"Host {name[:100]!r} is not allowed: a name that someone else controls may point here."
        " Use localhost or an IP address, or add the name to `allowed_hosts`."
    )


def host_name(host: str) -> str:
    """`Host` without port and brackets, in lower case."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0]


def _is_ip(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
