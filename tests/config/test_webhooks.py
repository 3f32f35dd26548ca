"""Receivers are configured once, strictly; secrets come from where secrets are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.config import Config, load
from collector.errors import ConfigError
from collector.settings import webhooks

SECRET = "0123456789abcdef0123"


def loaded(tmp_path: Path, text: str, **env: str) -> Config:
    file = tmp_path / "agentrun.yaml"
    file.write_text(f"webhooks:\n{text}")
    return load(file, env)


def test_url_and_secret_come_from_the_environment(tmp_path: Path) -> None:
    """And are not shown where the config is."""
    config = loaded(
        tmp_path,
        "  - {name: ops, url_env: OPS_URL, secret_env: OPS_SECRET, events: [finding]}\n",
        OPS_URL="https://hooks.example.com/T0/B0",
        OPS_SECRET=SECRET,
    )

    [hook] = webhooks(config)
    assert hook.url == "https://hooks.example.com/T0/B0"
    assert hook.secret == SECRET.encode()
    assert SECRET not in repr(config)


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    config = loaded(
        tmp_path, f"  - {{name: ops, url: 'http://x/h', secret_file: {tmp_path}/secret}}\n"
    )

    assert webhooks(config)[0].secret == SECRET.encode()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{name: ops}", "exactly one of `url` and `url_env`"),
        ("{name: ops, url: 'ftp://x/h'}", "webhooks[0].url"),
        ("{name: ops, url: 'http://x/h', secret: short}", "at least 16 characters"),
        ("{name: ops, url_env: NOT_SET}", "the variable NOT_SET"),
        ("{name: ops, url: 'http://x/h', secret_file: /nowhere}", "the file /nowhere"),
        ("{name: ops, url: 'http://x/h', events: []}", "at least one kind of event"),
        ("{name: ops, url: 'http://x/h', events: [stops]}", "webhooks[0].events[0]"),
        (
            f"{{name: ops, url: 'http://x/h', secret: {SECRET}, secret_env: A}}",
            "one of `secret`, `secret_env` and `secret_file` at most",
        ),
        ("{name: ops, url: 'http://x/h'}\n  - {name: ops, url: 'http://x/i'}", "second time"),
    ],
)
def test_mistakes_are_reported(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, f"  - {text}\n")

    assert problem in str(raised.value)
