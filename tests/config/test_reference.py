"""The JSON Schema and the list of settings say what the reader does."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import yaml

from collector.config import Config, load
from collector.config.environment import settings, variable
from collector.config.reader import hints, is_section, unpack
from collector.config.reference import EXAMPLE, docs, files, json_schema
from collector.errors import ConfigError

ROOT = Path(__file__).parents[2]


def classes(section: type) -> Iterator[type]:
    """The section and all sections inside it, items of lists included."""
    yield section
    for hint in hints(section).values():
        bare = unpack(hint)[0]
        for inner in (bare, *(unpack(arg)[0] for arg in get_args(bare) if arg is not ...)):
            if is_section(inner):
                yield from classes(inner)


def test_the_written_files_are_current() -> None:
    """Run `python -m collector.config` after a change of the schema's classes."""
    for name, text in files().items():
        assert (ROOT / name).read_text(encoding="utf-8") == text, name


@pytest.mark.parametrize("section", dict.fromkeys(classes(Config)), ids=lambda cls: cls.__name__)
def test_every_setting_is_documented(section: type) -> None:
    """A docstring below each field: unit and why; the reference is made of them."""
    undocumented = [name for name, text in docs(section).items() if not text]

    assert undocumented == []
    assert (section.__doc__ or "").endswith(".")


def test_no_two_settings_share_a_variable() -> None:
    """A single `_` for each dot is unambiguous only as long as this holds."""
    variables = [variable(key) for key in settings()]

    assert len(set(variables)) == len(variables) > 50
    assert "AGENTRUN_RECEIVER_GRPC_TLS_CERT_FILE" in variables


def test_units_are_last_in_names() -> None:
    """A number says what it counts; 86400 of what is the question a name must answer."""
    units = ("_bytes", "_secs", "_days", "_rows", "_depth", "_steps", "usd", "_mtok", "_max",
                 "decoders")  # fmt: skip
    for section in dict.fromkeys(classes(Config)):
        for field in dataclasses.fields(section):
            if unpack(hints(section)[field.name])[0] in (int, float):
                assert field.name.endswith(units), field.name


def test_the_example_loads_and_fits_the_json_schema(tmp_path: Path) -> None:
    """What the documentation shows must work."""
    jsonschema.Draft202012Validator.check_schema(json_schema())
    document = yaml.safe_load(EXAMPLE)
    jsonschema.validate(document, json_schema())
    for name in ("cert_file", "key_file"):
        pem = tmp_path / name
        pem.write_text("")
        document["receiver"]["grpc"]["tls"][name] = str(pem)
    path = tmp_path / "agentrun.yaml"
    path.write_text(yaml.safe_dump(document))

    config = load(path, {"SUPPORT_TEAM_KEY": "0123456789abcdef"})

    assert config.auth.keys[0].workspace == "support"
    assert config.store.retention.traces_days == 14


CASES: list[Any] = [
    {},
    {"api": None, "auth": {"keys": None}},
    {"receiver": {"headers": False, "nesting_depth_max": 4}},
    {"receiver": {"nesting_depth_max": 3}},
    {"receiver": {"headers": "no"}},
    {"receiver": {"grpc": {"address": 4317}}},
    {"receivr": {}},
    {"store": {"flush_rows": 1.5}},
    {"store": {"retention": {"runs_days": 0}}},
    {"prices": {"tools": {"x": -1}}},
    {"prices": {"endpoints": [{"match": "x"}]}},
    {"prices": {"endpoints": [{"match": "x", "usd": 1}]}},
    {"prices": {"models": [{"match": "x", "input_usd_per_mtok": None, "output_usd_per_mtok": 1}]}},
    {"redaction": {"detectors": {"email": 1}}},
    {"redaction": {"content": "none"}},
    {"runs": {"boundaries": [{"match": "a", "boundary": "session"}]}},
    {"runs": {"boundaries": [{"match": "a"}]}},
    {"log": {"level": "debug"}},
    [],
]


@pytest.mark.parametrize("document", CASES, ids=str)
def test_the_json_schema_agrees_with_the_reader(document: Any, tmp_path: Path) -> None:
    """An editor must not mark what works, nor pass a wrong type or name."""
    path = tmp_path / "agentrun.yaml"
    path.write_text(yaml.safe_dump(document))
    try:
        load(path, {})
        loads = True
    except ConfigError:
        loads = False

    assert jsonschema.Draft202012Validator(json_schema()).is_valid(document) is loads
