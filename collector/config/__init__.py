"""One `agentrun.yaml` in, one frozen Config out: read once, strictly, all mistakes in one report.

Later wins: defaults, the file, `AGENTRUN_...` variables, the command line.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from collector.config import checks, environment
from collector.config.document import Items, Node, Scalar, parse
from collector.config.problems import Place, Problem, raise_all
from collector.config.reader import Places, Reader
from collector.config.schema import (
    ApiConfig,
    ApiKey,
    AuthConfig,
    BoundaryRule,
    Config,
    ControlConfig,
    ForwardConfig,
    JournalConfig,
    ListenerConfig,
    LogConfig,
    PatternConfig,
    PricesConfig,
    ReadEndpointConfig,
    ReceiverConfig,
    RedactionConfig,
    RetentionConfig,
    RulesConfig,
    RunsConfig,
    StoreConfig,
    TlsConfig,
    WebhookConfig,
)
from collector.config.values import (
    Refused,
    Secret,
    SecretUrl,
    check_key,
    check_secret,
    check_webhook_url,
    header_value,
    masked,
)
from otel_agentrun.redact import detectors as redact_detectors

__all__ = [
    "ApiConfig",
    "ApiKey",
    "AuthConfig",
    "BoundaryRule",
    "Config",
    "ControlConfig",
    "ForwardConfig",
    "JournalConfig",
    "ListenerConfig",
    "LogConfig",
    "PatternConfig",
    "PricesConfig",
    "ReadEndpointConfig",
    "ReceiverConfig",
    "RedactionConfig",
    "RetentionConfig",
    "RulesConfig",
    "RunsConfig",
    "Secret",
    "SecretUrl",
    "StoreConfig",
    "TlsConfig",
    "WebhookConfig",
    "default_path",
    "load",
    "masked",
]

FILE_NAME: Final = "agentrun.yaml"
NOTHING: Final[Mapping[str, object]] = {}


def default_path(env: Mapping[str, str]) -> Path | None:
    """The file to read when the command line names none: `AGENTRUN_CONFIG`, else `agentrun.yaml` in
    the working directory if there is one."""
    named = env.get("AGENTRUN_CONFIG", "")
    if named:
        return Path(named)
    return Path(FILE_NAME) if Path(FILE_NAME).is_file() else None


def load(
    path: Path | None,
    env: Mapping[str, str],
    overrides: Mapping[str, object] = NOTHING,
    *,
    detectors: Collection[str] | None = None,
) -> Config:
    """Settings from a file (or none), variables, and dotted keys that the command line set.

    `store.url` is filled in and API keys are reduced to their digests.  `detectors`: names that
    `redaction.detectors` may use, by default the built-in ones.

    Raises:
        ConfigError: with a report of every problem found.
    """
    problems: list[Problem] = []
    document = _read(path, problems) if path is not None else None
    if isinstance(document, Items) or (isinstance(document, Scalar) and document.value is not None):
        Reader(problems).section(Config, None, document, "")
        document = None
    document = environment.overlaid(document, environment.from_environment(env, problems))
    document = environment.overlaid(document, environment.from_options(overrides, problems))

    reader = Reader(problems)
    config: Config = reader.section(Config, None, document, "")
    url = config.store.url or SecretUrl(f"chdb://{config.data_dir.absolute()}/store")
    config = dataclasses.replace(config, store=dataclasses.replace(config.store, url=url))
    used = frozenset(key.key_env for key in config.auth.keys) | {
        variable for backend in config.forward for variable in backend.headers_env.values()
    }
    used |= {name for hook in config.webhooks for name in (hook.url_env, hook.secret_env)}
    environment.unknown_variables(env, used, problems)
    known = redact_detectors() if detectors is None else detectors
    # A setting that could not be read stands at its default: nothing more is known about it.
    bad = {problem.key for problem in problems}
    found = checks.find(config, reader.places, known)
    problems.extend(problem for problem in found if not bad & within(problem.key))
    keys = tuple(
        _digested(key, f"auth.keys[{index}]", env, reader.places, problems)
        for index, key in enumerate(config.auth.keys)
    )
    problems.extend(checks.same_keys(keys, reader.places))
    forward = tuple(
        _with_headers(backend, f"forward[{index}]", env, reader.places, problems)
        for index, backend in enumerate(config.forward)
    )
    webhooks = tuple(
        _with_secrets(hook, f"webhooks[{index}]", env, reader.places, problems)
        for index, hook in enumerate(config.webhooks)
    )
    raise_all(problems)
    return dataclasses.replace(
        config, auth=AuthConfig(keys=keys), forward=forward, webhooks=webhooks
    )


def within(key: str) -> set[str]:
    """The key and the list or mapping entries it is in: a bad one hides what is inside it."""
    return {key, *(key[: at.start()] for at in re.finditer(r"\[", key))}


def _read(path: Path, problems: list[Problem]) -> Node | None:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        problems.append(
            Problem(
                place=Place(source=str(path)),
                key="",
                expected="a readable file in UTF-8",
                got=(said or type(error).__name__).lower(),
                why="the collector was told to start with these settings.",
                fix="correct the path, the file's permissions or its encoding.",
            )
        )
        return None
    return parse(text, str(path), problems)


def _with_headers(
    backend: ForwardConfig,
    at: str,
    env: Mapping[str, str],
    places: Places,
    problems: list[Problem],
) -> ForwardConfig:
    """With the values of `headers_env` among its headers."""
    headers = dict(backend.headers)
    for header, variable in backend.headers_env.items():
        value = env.get(variable, "").strip()
        try:
            header_value(value)
        except Refused as refused:
            key = f"{at}.headers_env.{header}"
            problems.append(
                Problem(
                    place=checks.place_of(key, places),
                    key=key,
                    expected=f"{refused.expected} in the variable {variable}",
                    got=(refused.got or "") if value else "an unset or empty variable",
                    why=refused.why if value else "the header is read from there at start.",
                    fix=refused.fix if value else f"set {variable}, or name another variable.",
                )
            )
        headers[header] = Secret(value)
    return dataclasses.replace(backend, headers=headers, headers_env={})


def _with_secrets(
    hook: WebhookConfig, at: str, env: Mapping[str, str], places: Places, problems: list[Problem]
) -> WebhookConfig:
    """With its URL and its secret, wherever they come from."""

    def read(key: str, text: str, where: str, check: Callable[[str], None]) -> str:
        try:
            check(text)
        except Refused as refused:
            problems.append(
                Problem(
                    place=checks.place_of(f"{at}.{key}", places),
                    key=f"{at}.{key}",
                    expected=f"{refused.expected} in {where}",
                    got=(refused.got or "") if text else "nothing",
                    why=refused.why,
                    fix=refused.fix if text else f"set {where}, or name another.",
                )
            )
        return text

    url: str = hook.url
    if hook.url_env and not url:
        text = env.get(hook.url_env, "").strip()
        url = read("url_env", text, f"the variable {hook.url_env}", check_webhook_url)
    secret: str = hook.secret
    if hook.secret_env and not secret:
        text = env.get(hook.secret_env, "").strip()
        secret = read("secret_env", text, f"the variable {hook.secret_env}", check_secret)
    elif hook.secret_file is not None and not secret:
        try:
            text = hook.secret_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            text = ""
        secret = read("secret_file", text, f"the file {hook.secret_file}", check_secret)
    return dataclasses.replace(hook, url=SecretUrl(url), secret=Secret(secret))


def _digested(
    key: ApiKey, at: str, env: Mapping[str, str], places: Places, problems: list[Problem]
) -> ApiKey:
    """The key as its SHA-256, wherever it came from: no plain key stays in memory."""
    if key.key_sha256:
        return dataclasses.replace(key, key_sha256=key.key_sha256.lower(), key=Secret(""))
    plain: str = key.key
    if key.key_env and not plain:
        plain = env.get(key.key_env, "")
        try:
            check_key(plain)
        except Refused as refused:
            problems.append(
                Problem(
                    place=checks.place_of(f"{at}.key_env", places),
                    key=f"{at}.key_env",
                    expected=f"{refused.expected} in the variable {key.key_env}",
                    got=(refused.got or "") if plain else "an unset or empty variable",
                    why=refused.why if plain else "the key is read from there at start.",
                    fix=refused.fix if plain else f"set {key.key_env}, or name another variable.",
                )
            )
            plain = ""
    digest = hashlib.sha256(plain.encode()).hexdigest() if plain else ""
    return dataclasses.replace(key, key=Secret(""), key_sha256=digest)
