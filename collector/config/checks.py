"""Mistakes that show only when settings are seen together, or with the machine they are for."""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from collector.config.problems import Place, Problem
from collector.config.reader import Places
from collector.config.schema import ApiKey, Config, MappingsConfig
from collector.config.values import is_loopback

Check = Callable[[Config, Places], Iterator[Problem]]


def find(config: Config, places: Places, detectors: Collection[str]) -> Iterator[Problem]:
    """Everything wrong with the settings as a whole; `detectors` are the names that exist."""
    for check in CHECKS:
        yield from check(config, places)
    yield from _redaction(config, places, detectors)


def place_of(key: str, places: Places) -> Place:
    """Where a setting stands, or the nearest section around it that stands anywhere."""
    while key not in places:
        if not key:
            return Place(source="configuration")
        key = re.sub(r"(\.?[^.\[]+|\[\d+\])$", "", key)
    return places[key]


def _problem(places: Places, key: str, expected: str, got: str, why: str, fix: str) -> Problem:
    return Problem(
        place=place_of(key, places), key=key, expected=expected, got=got, why=why, fix=fix
    )


def _exposed(config: Config, places: Places) -> Iterator[Problem]:
    if config.auth.keys or "auth.keys[0]" in places:  # the latter: a bad one, said elsewhere
        return
    for name, listener in config.listeners.items():
        if not listener.loopback and listener.tls.client_ca_file is None:
            yield _problem(
                places, f"{name}.address", "a loopback address, as there are no `auth.keys`",
                f"`{listener.address}`",
                "anyone who reaches the port could send spans, or read and stop runs.",
                "add a key under `auth.keys`, ask for client certificates"
                " (`tls.client_ca_file`), or listen on 127.0.0.1.",
            )  # fmt: skip


def _ports(config: Config, places: Places) -> Iterator[Problem]:
    seen: list[tuple[str, str, int]] = []
    for name, (host, port) in config.ports.items():
        host = "127.0.0.1" if host.lower() == "localhost" else host
        other = next((o for o, at, p in seen if p == port and _overlap(host, at)), None)
        seen.append((name, host, port))
        if port and other is not None:
            yield _problem(
                places, f"{name}.address", f"another address than `{other}.address`",
                f"`{host}:{port}` for both",
                "two listeners cannot share a port.", "change one of the two ports.",
            )  # fmt: skip


def _overlap(one: str, other: str) -> bool:
    return one == other or bool({one, other} & {"0.0.0.0", "::"})  # all interfaces


def _tls(config: Config, places: Places) -> Iterator[Problem]:
    for name, listener in config.listeners.items():
        files = {
            "cert_file": listener.tls.cert_file,
            "key_file": listener.tls.key_file,
            "client_ca_file": listener.tls.client_ca_file,
        }
        if any(files.values()):
            for needed in ("cert_file", "key_file"):
                if files[needed] is None:
                    yield _problem(
                        places, f"{name}.tls.{needed}", "a file", "none",
                        "TLS needs a certificate and its key.",
                        f"add `{needed}`, or delete `tls` to speak plain text.",
                    )  # fmt: skip
        for field, path in files.items():
            if path is not None and not _readable(path):
                yield _problem(
                    places, f"{name}.tls.{field}", "a readable file", f"`{path}`",
                    "it is read once at start.",
                    "correct the path (it counts from the working directory) or its permissions.",
                )  # fmt: skip


def _readable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.R_OK)


GIVEN_AS: Final = ("key", "key_sha256", "key_env")


def _keys(config: Config, places: Places) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for index, key in enumerate(config.auth.keys):
        at = f"auth.keys[{index}]"
        given = [name for name in GIVEN_AS if getattr(key, name)]
        if len(given) != 1:
            yield _problem(
                places, at, "exactly one of `key`, `key_sha256` and `key_env`",
                " and ".join(f"`{name}`" for name in given) or "none of them",
                "each entry is one key.", "keep one of the three.",
            )  # fmt: skip
        if not key.roles:
            yield _problem(
                places, f"{at}.roles", "at least one role", "an empty list",
                "the key could do nothing.", "delete `roles` for `[ingest]`, or delete the key.",
            )  # fmt: skip
        if names.setdefault(key.name, index) != index:
            yield _problem(
                places, f"{at}.name", "a name of its own", f"`{key.name}` a second time",
                "logs and errors could not tell the two apart.", "rename one of them.",
            )  # fmt: skip


def same_keys(keys: Collection[ApiKey], places: Places) -> Iterator[Problem]:
    """Entries with the same key; to be asked when all digests are known."""
    digests: dict[str, int] = {}
    for index, key in enumerate(keys):
        first = digests.setdefault(key.key_sha256, index)
        if key.key_sha256 and first != index:
            yield _problem(
                places, f"auth.keys[{index}]", "another key in each entry",
                f"the key of `auth.keys[{first}]` again",
                "only one of the two entries could have an effect.",
                "delete one of them or make a new key.",
            )  # fmt: skip


def _sizes(config: Config, places: Places) -> Iterator[Problem]:
    receiver, journal = config.receiver, config.journal
    pairs = (
        ("receiver.decompressed_bytes_max", receiver.decompressed_bytes_max,
         "receiver.request_bytes_max", receiver.request_bytes_max,
         "a request that is not compressed must fit both."),
        ("receiver.queue_bytes_max", receiver.queue_bytes_max,
         "receiver.request_bytes_max", receiver.request_bytes_max,
         "the largest request could never be taken."),
        ("journal.bytes_max", journal.bytes_max, "journal.segment_bytes", journal.segment_bytes,
         "the journal would be full before its first file is."),
        ("receiver.decompressed_bytes_max", receiver.decompressed_bytes_max,
         "receiver.value_bytes_max", receiver.value_bytes_max,
         "no value could reach its limit."),
    )  # fmt: skip
    for key, value, other, least, why in pairs:
        if value < least:
            # Say it where the operator wrote something: one of the two may be a default.
            at = key if key in places or other not in places else other
            yield Problem(
                place=place_of(at, places), key=key, expected=f"at least `{other}` ({least})",
                got=str(value), why=why, fix=f"raise `{key}` or lower `{other}`.",
            )  # fmt: skip
    if config.runs.linger_secs >= config.runs.quiet_secs:
        yield _problem(
            places, "runs.linger_secs", f"less than `runs.quiet_secs` ({config.runs.quiet_secs:g})",
            f"{config.runs.linger_secs:g}",
            "an ended run would stay in memory longer than an unfinished one.",
            "lower `runs.linger_secs` or raise `runs.quiet_secs`.",
        )  # fmt: skip


def _store(config: Config, places: Places) -> Iterator[Problem]:
    if config.store.cluster and config.store.url.lower().startswith("chdb://"):
        yield _problem(
            places, "store.cluster", "no cluster with an embedded store",
            f"`{config.store.cluster}`", "one process has no replicas.",
            "delete `store.cluster`, or set `store.url` to a server of the cluster.",
        )  # fmt: skip

    if not config.store.url.startswith("chdb://:") and "store.url" not in places:
        path = config.store.url.removeprefix("chdb://")
        if "?" in path or "#" in path:
            yield _problem(
                places, "data_dir", "a path without `?` and `#`", f"`{path}`",
                "the embedded engine would take them for options.", "choose another folder.",
            )  # fmt: skip


def _prices(config: Config, places: Places) -> Iterator[Problem]:
    globs = {
        "models": [price.match for price in config.prices.models],
        "endpoints": [price.match for price in config.prices.endpoints],
    }
    for name, matches in globs.items():
        for index, match in enumerate(matches):
            if not match:
                yield _problem(
                    places, f"prices.{name}[{index}].match", "a glob", "an empty text",
                    "it matches nothing.", "write `*` to match everything, or delete the entry.",
                )  # fmt: skip
    for index, price in enumerate(config.prices.models):
        if price.input_usd_per_mtok is None and price.output_usd_per_mtok is None:
            yield _problem(
                places, f"prices.models[{index}]",
                "`input_usd_per_mtok`, `output_usd_per_mtok` or both", "neither",
                "every call of the model would become `unknown`.",
                "add the prices, 0 for a model at no charge, or delete the entry.",
            )  # fmt: skip


def _redaction(config: Config, places: Places, detectors: Collection[str]) -> Iterator[Problem]:
    for name in config.redaction.detectors:
        if name not in detectors:
            yield _problem(
                places, f"redaction.detectors.{name}", "a detector", f"`{name}`",
                "what it should find would be stored.",
                f"known: {', '.join(sorted(detectors))}; for others use `redaction.patterns`.",
            )  # fmt: skip
    seen: set[str] = set()
    for index, pattern in enumerate(config.redaction.patterns):
        if pattern.name in seen or pattern.name in detectors or pattern.name == "key":
            yield _problem(
                places, f"redaction.patterns[{index}].name", "a name of its own",
                f"`{pattern.name}`, which is taken",
                "the marker could not tell which rule fired.", "choose another name.",
            )  # fmt: skip
        seen.add(pattern.name)


def _mappings(config: Config, places: Places) -> Iterator[Problem]:
    # Only here: a config without mappings need not wait for the tables.
    if config.mappings == MappingsConfig():
        return
    from otel_agentrun import semconv
    from otel_agentrun.dialects import MODULES
    from otel_agentrun.dialects.mapping import FIELDS, is_label
    from otel_agentrun.dialects.tables import COMMON

    common = {key: name for name, keys in COMMON.items() for key in keys}

    def of_keys(keys: Mapping[str, tuple[str, ...]], at: str) -> Iterator[Problem]:
        seen: dict[str, str] = {}
        for name, own in keys.items():
            where = f"{at}.{name}"
            if name not in FIELDS and not is_label(name):
                near = difflib.get_close_matches(name, FIELDS, 1)
                yield _problem(
                    places, where, "a field of steps or runs", f"`{name}`",
                    "nothing would be read from these attributes.",
                    f"did you mean `{near[0]}`?" if near
                    else "docs/dialects.md lists the fields; `tags.<name>` makes a tag.",
                )  # fmt: skip
            if not own:
                yield _problem(
                    places, where, "one attribute or more", "an empty list",
                    "the field would be read from nowhere.", "name an attribute, or delete it.",
                )  # fmt: skip
            for index, key in enumerate(own):
                other = seen.setdefault(key, name) if key not in common else common[key]
                if other != name:
                    yield _problem(
                        places, f"{where}[{index}]", "an attribute for one field only",
                        f"`{key}`, which states `{other}` already",
                        "one attribute cannot mean two things.", "delete one of the two.",
                    )  # fmt: skip

    names = {module.NAME for module in MODULES}
    for index, each in enumerate(config.mappings.spans):
        at = f"mappings.spans[{index}]"
        if each.name in names:
            yield _problem(
                places, f"{at}.name", "a name of its own", f"`{each.name}`, which is taken",
                "steps could not tell who read them.", "choose another name.",
            )  # fmt: skip
        names.add(each.name)
        if not each.scope.strip("*") and not each.attribute:
            yield _problem(
                places, at, "`scope`, `attribute` or both", "neither",
                "every span of every application would be read as this convention.",
                "name the scope of its tracer, or an attribute that all its spans carry.",
            )  # fmt: skip
        if each.kinds and not each.kind_attribute and not each.attribute:
            yield _problem(
                places, f"{at}.kinds", "`kind_attribute` or `attribute` with it", "neither",
                "there is no value to compare with.", "name the attribute that tells the kind.",
            )  # fmt: skip
        yield from of_keys(each.keys, f"{at}.keys")
    yield from of_keys(config.mappings.keys, "mappings.keys")
    yield from _headers(config, places, semconv.TENANCY)


def _headers(config: Config, places: Places, tenancy: Collection[str]) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, attribute in config.mappings.headers.items():
        key = f"mappings.headers.{name}"
        if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) is None or name.endswith("-bin"):
            yield _problem(
                places, key, "a header name", f"`{name}`",
                "no request can carry such a header as text.", "write a name such as `x-team`.",
            )  # fmt: skip
        if name.lower() in ("authorization", "cookie", "x-api-key", "proxy-authorization"):
            yield _problem(
                places, key, "a header without a secret", f"`{name}`",
                "its value would be stored with every span.", "delete it.",
            )  # fmt: skip
        first = seen.setdefault(name.lower(), name)
        if first != name:
            yield _problem(
                places, key, "each header once", f"`{name}`, which is `{first}` again",
                "header names have no case.", "delete one of the two.",
            )  # fmt: skip
        if attribute in tenancy:
            yield _problem(
                places, key, "an attribute that senders may state", f"`{attribute}`",
                "who sends would choose whose data it becomes.",
                "set it on the API key (`auth.keys`).",
            )  # fmt: skip
    if config.mappings.headers and not config.receiver.headers:
        yield _problem(
            places, "mappings.headers", "no headers with `receiver.headers: false`",
            f"{len(config.mappings.headers)}", "no header of a request is taken then.",
            "delete `mappings.headers`, or set `receiver.headers` to true.",
        )  # fmt: skip


def _forward(config: Config, places: Places) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for index, backend in enumerate(config.forward):
        at = f"forward[{index}]"
        if names.setdefault(backend.name, index) != index:
            yield _problem(
                places, f"{at}.name", "a name of its own", f"`{backend.name}` a second time",
                "two backends cannot share a folder.", "rename one of them.",
            )  # fmt: skip
        port = urlsplit(backend.endpoint).port
        host = urlsplit(backend.endpoint).hostname or ""
        for name, (own_host, own_port) in config.ports.items():
            if port == own_port and is_loopback(host) and (
                is_loopback(own_host) or own_host in ("0.0.0.0", "::")
            ):  # fmt: skip
                yield _problem(
                    places, f"{at}.endpoint", "another process", f"`{backend.endpoint}`",
                    f"this collector listens there itself (`{name}.address`); spans would come"
                    " back for ever.", "name the backend's own address.",
                )  # fmt: skip
        for name, count in Counter(
            header.lower()
            for given in (backend.headers, backend.headers_env, backend.headers_file)
            for header in given
        ).items():
            if re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) is None:
                yield _problem(
                    places, f"{at}.headers", "header names", f"`{name}`",
                    "no request can carry such a header.", "write a name such as `x-api-key`.",
                )  # fmt: skip
            if count > 1:
                yield _problem(
                    places, f"{at}.headers", "each header once", f"`{name}` {count} times",
                    "only one of them could have an effect.", "keep one of them.",
                )  # fmt: skip
        tls = backend.tls
        files = {"ca_file": tls.ca_file, "cert_file": tls.cert_file, "key_file": tls.key_file}
        for field, path in files.items():
            if path is not None and not _readable(path):
                yield _problem(
                    places, f"{at}.tls.{field}", "a readable file", f"`{path}`",
                    "the backend is checked with it, or checks the collector.",
                    "correct the path (it counts from the working directory) or its permissions.",
                )  # fmt: skip
        if (tls.cert_file is None) != (tls.key_file is None):
            yield _problem(
                places, f"{at}.tls", "`cert_file` and `key_file`, or neither", "one of the two",
                "a certificate is of no use without its key.", "add the other one.",
            )  # fmt: skip
        if any(files.values()) and not backend.endpoint.startswith("https:"):
            yield _problem(
                places, f"{at}.tls", "an `https://` endpoint", f"`{backend.endpoint}`",
                "plain text is sent to it, whatever the certificates.",
                "write `https://`, or delete `tls`.",
            )  # fmt: skip


def _webhooks(config: Config, places: Places) -> Iterator[Problem]:
    names: dict[str, int] = {}
    for index, hook in enumerate(config.webhooks):
        at = f"webhooks[{index}]"
        if names.setdefault(hook.name, index) != index:
            yield _problem(
                places, f"{at}.name", "a name of its own", f"`{hook.name}` a second time",
                "two receivers cannot share a folder.", "rename one of them.",
            )  # fmt: skip
        if bool(hook.url) == bool(hook.url_env):
            yield _problem(
                places, at, "exactly one of `url` and `url_env`",
                "both" if hook.url else "none of them",
                "notices are posted to one place.", "keep one of the two.",
            )  # fmt: skip
        given = [name for name in ("secret", "secret_env", "secret_file") if getattr(hook, name)]
        if len(given) > 1:
            yield _problem(
                places, at, "one of `secret`, `secret_env` and `secret_file` at most",
                " and ".join(f"`{name}`" for name in given),
                "a notice has one signature.", "keep one of them.",
            )  # fmt: skip
        if not hook.events:
            yield _problem(
                places, f"{at}.events", "at least one kind of event", "an empty list",
                "the receiver would never be told anything.", "delete `events`, or the receiver.",
            )  # fmt: skip


CHECKS: Final[tuple[Check, ...]] = (
    _exposed, _ports, _tls, _keys, _sizes, _store, _prices, _mappings, _forward, _webhooks,
)  # fmt: skip
