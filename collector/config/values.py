"""What single values may be: ranges and formats, attached to a setting's type by `Annotated`."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Final
from urllib.parse import urlsplit

from otel_agentrun.constraints import Format as Format
from otel_agentrun.constraints import Range as Range
from otel_agentrun.constraints import Refused as Refused
from otel_agentrun.redact import pattern_problem


class Secret(str):
    """Text that must not be seen by accident: `repr` masks it, also in a dataclass around it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"


class SecretUrl(str):
    """A URL whose password must not be seen by accident."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(masked(self))


def masked(url: str) -> str:
    """The URL with `***` for a password, before the host or as a parameter.

    By pattern, as a URL that cannot be taken apart (a `/` in the password) must be masked too.
    """
    url = re.sub(r"(?s)^([^:/?#]*://[^:@/?#]*):.*@", r"\1:***@", url)
    names = "password|passwd|access_token|token|secret"
    return re.sub(rf"(?i)([?&;](?:{names})=)[^&;#]*", r"\1***", url)


def split_address(address: str) -> tuple[str, int]:
    """`host:port`, `[v6]:port` as (host, port).  Raises Refused."""
    host, colon, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    ok = bool(colon and host and port.isascii() and port.isdecimal() and len(port) <= 5)
    ok = ok and int(port) <= 65535 and (bracketed == (":" in host))
    if ok and bracketed:
        ok = _ip(host) is not None
    elif ok:
        ok = re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?", host) is not None
    if not ok:
        raise Refused(
            "an address and a port from 0 to 65535",
            "the collector listens there.",
            "write `127.0.0.1:4317`, `0.0.0.0:4317`, `localhost:4317` or `[::1]:4317`.",
        )
    return host, int(port)


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Only this machine can connect.  A name other than `localhost` may mean anything."""
    ip = _ip(host)
    return ip.is_loopback if ip is not None else host.lower() == "localhost"


def _address(text: str) -> None:
    split_address(text)


STORE_SCHEMES: Final = ("chdb", "clickhouse", "clickhouses", "http", "https")


def _store_url(text: str) -> None:
    if not text:
        return
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.lower() not in STORE_SCHEMES:
        expected = f"a URL with one of the schemes {', '.join(STORE_SCHEMES)}"
        raise _bad_store(text, expected, "the store is chosen by its URL.")
    if scheme.lower() == "chdb":
        if rest != ":memory:" and not rest.startswith("/"):
            why = "a relative path would mean another store in every folder."
            raise _bad_store(text, "`:memory:` or an absolute path after `chdb://`", why)
        if "?" in rest or "#" in rest:
            why = "the embedded engine would take them for options."
            raise _bad_store(text, "a path without `?` and `#`", why)
        return
    try:
        parts = urlsplit(text)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        why = "the server is reached there."
        raise _bad_store(text, "a host, and a port from 1 to 65535 or none", why)


def _bad_store(text: str, expected: str, why: str) -> Refused:
    fix = "write `chdb:///absolute/path`, `chdb://:memory:` or `clickhouse://user:password@host/`."
    return Refused(expected, why, fix, got=f"`{masked(text)}`")


def _origin(text: str) -> None:
    try:
        parts = urlsplit(text)
        ok = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        ok = False
    if not ok or text != f"{parts.scheme}://{parts.netloc}" or "@" in text:
        raise Refused(
            "an origin: scheme, host and port, nothing after them",
            "a browser's Origin header is compared with it as a whole.",
            "write `https://runs.example.com` or `http://localhost:3000`; `*` is not possible.",
        )


def _host(text: str) -> None:
    if re.fullmatch(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]", text) is None:
        raise Refused(
            "a host name or address without a port",
            "the Host header is compared with it, whatever its port.",
            "write `runs.example.com`.",
        )


def _otlp_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        ok = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        ok = ok and not (parts.query or parts.fragment or parts.username or parts.password)
    except ValueError:
        ok = False
    if not ok:
        raise Refused(
            "`http://` or `https://`, a host, and a port from 1 to 65535 or none",
            "requests are sent there; keys belong in `headers`.",
            "write `http://localhost:4317`, `https://otlp.example.com:4317` or, for HTTP, "
            "`https://otlp.example.com/otlp`.", got=f"`{masked(text)}`",
        )  # fmt: skip


def _webhook_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        ok = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        ok = ok and text.isascii() and text.isprintable() and " " not in text
        ok = ok and not (parts.fragment or parts.username or parts.password)
    except ValueError:
        ok = False
    if text and not ok:
        raise Refused(
            "`http://` or `https://`, a host, and a path", "notices are posted there.",
            "copy the URL that the receiver shows.", got=f"{len(text)} characters",
        )  # fmt: skip


def check_webhook_url(text: str) -> None:
    """Raises Refused, also for an empty one."""
    _webhook_url(text or "-")


def check_secret(text: str) -> None:
    if len(text) < KEY_CHARACTERS_MIN:
        raise Refused(
            f"at least {KEY_CHARACTERS_MIN} characters",
            "a short secret can be guessed from one signed notice.",
            "make one with `openssl rand -hex 32`.", got=f"{len(text)} characters",
        )  # fmt: skip


def header_value(text: str) -> None:
    if not text or not text.isascii() or not text.isprintable():
        raise Refused(
            "printable ASCII characters", "a header can carry no others.",
            "write the value as the backend's manual has it.", got=f"{len(text)} characters",
        )  # fmt: skip


def _pattern(text: str) -> None:
    why = "the pattern looks for secrets in every value."
    try:
        re.compile(text, re.ASCII)
    except re.error as error:
        raise Refused(
            "a regular expression", why, "correct the pattern.",
            offset=error.pos or 0, got=f"`{text}` ({error.msg})",
        ) from None  # fmt: skip
    except (OverflowError, RecursionError, ValueError):
        pass  # said by pattern_problem
    problem = pattern_problem(text)
    if problem is not None:
        what, _, rest = problem.partition(" Why: ")
        reason, _, fix = rest.partition(" Fix: ")
        raise Refused(
            "a regular expression that RE2 can search for", reason or why,
            fix or "correct the pattern.", got=f"`{text}` ({what.rstrip('.')})",
        )  # fmt: skip


def _rule_name(text: str) -> None:
    if re.fullmatch(r"[a-z][a-z0-9_]{0,31}", text) is None:
        raise Refused(
            "1 to 32 of a-z, 0-9 and _, a letter first",
            "the name becomes part of the marker that replaces a secret.",
            "write a name such as `customer_number`.",
        )


def _key_glob(text: str) -> None:
    if not text.strip("*?.") or not text.isascii():
        raise Refused(
            "a glob that names something, in ASCII",
            "it would match every key.",
            "write a key such as `*.iban` or `order.customer_name`.",
        )


def _glob(text: str) -> None:
    if not text:
        raise Refused("a glob", "an empty one matches nothing.", "write `*` to match everything.")


def _name(text: str) -> None:
    if not text.strip():
        raise Refused("a name", "logs and errors refer to it.", "write a short name.")


def _identifier(text: str) -> None:
    if text and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,63}", text) is None:
        raise Refused(
            "letters, digits and _, no digit first, at most 64",
            "it becomes a name in SQL statements.",
            "choose such a name.",
        )


def _database(text: str) -> None:
    if not text:
        raise Refused("a name", "every table needs a database.", "delete the key or name one.")
    _identifier(text)


def _sha256(text: str) -> None:
    if text and re.fullmatch(r"[0-9a-fA-F]{64}", text) is None:
        raise Refused(
            "64 hexadecimal digits", "it is the SHA-256 digest of the key.",
            "make it with `printf %s KEY | sha256sum`.", got=f"{len(text)} characters",
        )  # fmt: skip


def check_key(text: str) -> None:
    if (
        len(text) < KEY_CHARACTERS_MIN
        or not text.isascii()
        or not text.isprintable()
        or " " in text
    ):
        raise Refused(
            f"at least {KEY_CHARACTERS_MIN} printable ASCII characters without spaces",
            "a short key can be guessed, another cannot travel in a header.",
            "make one with `openssl rand -hex 32`.", got=f"{len(text)} characters",
        )  # fmt: skip


KEY_CHARACTERS_MIN: Final = 16

GIB: Final = 1024**3
Bytes = Annotated[int, Range(1024, 1024 * GIB, "a smaller buffer cannot hold one request.")]
Secs = Annotated[float, Range(0.001, 86_400 * 30, "it is a time to wait, of at most 30 days.")]
Days = Annotated[int, Range(1, 36_500, "rows older than this are deleted.")]
Address = Annotated[str, Format("host:port", _address)]
StoreUrl = Annotated[SecretUrl, Format("URL", _store_url)]
Origin = Annotated[str, Format("origin", _origin)]
OtlpUrl = Annotated[str, Format("URL", _otlp_url)]
WebhookUrl = Annotated[SecretUrl, Format("URL", _webhook_url)]
WebhookSecret = Annotated[Secret, Format("secret", check_secret)]
HeaderValue = Annotated[Secret, Format("secret", header_value)]
Host = Annotated[str, Format("host", _host)]
Pattern = Annotated[str, Format("regular expression", _pattern)]
RuleName = Annotated[str, Format("rule name", _rule_name)]
KeyGlob = Annotated[str, Format("glob", _key_glob)]
Glob = Annotated[str, Format("glob", _glob)]
Name = Annotated[str, Format("name", _name)]
Identifier = Annotated[str, Format("identifier", _identifier)]
DatabaseName = Annotated[str, Format("identifier", _database)]
Digest = Annotated[str, Format("64 hex digits", _sha256)]
Key = Annotated[Secret, Format("secret", check_key)]
