"""What editors and people need, from the schema's classes: JSON Schema and list of settings."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import textwrap
from collections.abc import Collection, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from collector.config.environment import variable
from collector.config.reader import amount, hints, is_section, unpack
from collector.config.schema import Config
from collector.config.values import Format, Range
from otel_agentrun.match import Match
from otel_agentrun.redact import detectors


@cache
def docs(section: type) -> Mapping[str, str]:
    """Field -> the docstring below it, in one line; "" for a field without one."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(tree, ast.ClassDef)
    found = {field.name: "" for field in dataclasses.fields(section)}
    for base in section.__bases__:
        if dataclasses.is_dataclass(base):
            found |= docs(base)
    for statement, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            match following:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[statement.target.id] = " ".join(text.split())
    return found


def about(section: type) -> str:
    return " ".join((section.__doc__ or "").split())


# JSON Schema --------------------------------------------------------------------------------------


def json_schema() -> dict[str, Any]:
    """Draft 2020-12; what it refuses, `load` refuses, with all that a schema cannot say."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agentrun.yaml",
        **section_schema(Config, Config()),
    }


def section_schema(section: type, base: Any) -> dict[str, Any]:
    required = []
    properties = {}
    for field in dataclasses.fields(section):
        default = _default(field, base)
        schema = _schema(hints(section)[field.name], default)
        schema["description"] = docs(section)[field.name]
        if default is dataclasses.MISSING:
            required.append(field.name)
        elif schema.get("type") != ["object", "null"] or "properties" not in schema:
            schema["default"] = plain(default)
        properties[field.name] = schema
    found = {
        # An empty section (`api:` and nothing below it) is null to YAML.
        "type": ["object", "null"] if base is not None else "object",
        "description": about(section),
        "properties": properties,
        "additionalProperties": False,
    }
    return found | ({"required": required} if required else {})


def _schema(hint: Any, default: Any) -> dict[str, Any]:
    bare, constraint, optional = unpack(hint)
    if is_section(bare):
        return section_schema(bare, None if default is dataclasses.MISSING else default)
    if get_origin(bare) is tuple:
        return {
            "type": ["array", "null"],
            "items": _schema(get_args(bare)[0], dataclasses.MISSING),
        }
    if get_origin(bare) is Mapping:
        values = _schema(get_args(bare)[1], dataclasses.MISSING)
        return {"type": ["object", "null"], "additionalProperties": values}
    if get_origin(bare) is Literal:
        return {"enum": list(get_args(bare))}
    found: dict[str, Any] = {
        "type": {bool: "boolean", int: "integer", float: "number"}.get(bare, "string")
    }
    if optional:
        found["type"] = [found["type"], "null"]
    if isinstance(constraint, Range):
        found["minimum"] = constraint.low
        if constraint.high is not None:
            found["maximum"] = constraint.high
    return found


def _default(field: dataclasses.Field[Any], base: Any) -> Any:
    if base is not None:
        return getattr(base, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def plain(value: Any) -> Any:
    """A default as it would be written in the file."""
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return str(value) if isinstance(value, Path | str) else value


# docs/configuration.md ----------------------------------------------------------------------------

INTRO = """\
<!-- Written by `python -m collector.config` from collector/config/schema.py: edit that. -->
# Configuration

One file, `agentrun.yaml`: the one that `--config` names, else `AGENTRUN_CONFIG`, else the one in
the working directory. Every setting is optional; an empty file is a working configuration. The file
is read once, strictly: unknown keys, keys given twice, wrong types and contradictions are all found
at once, each reported with file, line and column, and the collector does not start.

Every setting also has an environment variable: `AGENTRUN_` and its dotted key in capitals with `_`
for each dot. Lists and mappings are written as YAML in one line and replace the file's as a whole:

    AGENTRUN_STORE_URL=clickhouse://agentrun:secret@clickhouse:9000/
    AGENTRUN_API_ALLOWED_HOSTS='[runs.example.com]'

Later wins: defaults, the file, variables, the command line. A setting left empty in the file
(`keys:` and nothing after it) keeps its default if it is a section, and is empty if it is a list or
mapping. `schemas/config.schema.json` lets an editor complete and check the file:

    # yaml-language-server: $schema=schemas/config.schema.json

Secrets belong in variables (`auth.keys[].key_env`, `AGENTRUN_STORE_URL`) or in the file as digests;
no error or log shows them.

## Example

```yaml
"""

EXAMPLE = """\
data_dir: /var/lib/agentrun
receiver:
  grpc:
    address: 0.0.0.0:4317
    tls: {cert_file: /etc/agentrun/tls.crt, key_file: /etc/agentrun/tls.key}
auth:
  keys:
    - name: support-team
      key_env: SUPPORT_TEAM_KEY     # the environment variable that holds it
      roles: [ingest, read]
      workspace: support
      environment: prod
store:
  url: clickhouse://agentrun@clickhouse.internal:9000/
  retention: {traces_days: 14}
redaction:
  detectors: {email: true}
  patterns:
    - name: customer_number
      regex: 'CUST-\\d{8}'
runs:
  boundaries:                       # the first that fits wins over `boundary`
    - match: agent_name == "support" and environment in ["prod", "staging"]
      boundary: conversation
prices:
  tools: {web_search: 0.005}
"""


def markdown() -> str:
    """docs/configuration.md."""
    return INTRO + EXAMPLE + "```\n" + "".join(_sections(Config, Config(), "")) + _detectors()


def setting_rows(
    section: type, base: Any, prefix: str, *, leave_out: Collection[str] = ()
) -> Iterator[str]:
    """The settings of one section as a table, without variables."""
    yield "| setting | type | default | |\n|---|---|---|---|\n"
    for field in dataclasses.fields(section):
        if field.name not in leave_out:
            hint, text = hints(section)[field.name], docs(section)[field.name]
            default = _shown(_default(field, base))
            yield f"| `{prefix}{field.name}` | {_type(hint)} | {default} | {text} |\n"


def _sections(section: type, base: Any, prefix: str, said: str = "") -> Iterator[str]:
    """The section's own settings as a table, then the sections inside it."""
    inner: list[tuple[str, str, Any, Any]] = []
    rows = []
    for field in dataclasses.fields(section):
        hint = hints(section)[field.name]
        bare = unpack(hint)[0]
        key = f"{prefix}.{field.name}" if prefix else field.name
        default = _default(field, base)
        item = get_args(bare)[0] if get_origin(bare) is tuple else None
        if is_section(bare):
            inner.append((key, docs(section)[field.name], bare, default))
            continue
        if is_section(item):
            inner.append((f"{key}[]", "", item, None))
        rows.append((key, _type(hint), _shown(default), docs(section)[field.name]))
    if prefix:
        level = "##" if "." not in prefix else "###"
        yield f"\n{level} {prefix}\n\n{said} {about(section)}\n".replace("\n ", "\n")
    else:
        yield f"\n## Top level\n\n{about(section)}\n"
    if rows:
        yield "\n| setting | type | default | |\n|---|---|---|---|\n"
        for key, kind, shown, text in rows:
            of_item = "[]" in key
            name = f"`{key}`" if of_item else f"`{key}`<br>`{variable(key)}`"
            yield f"| {name} | {kind} | {shown} | {text} |\n"
    for key, text, cls, default in inner:
        yield from _sections(cls, default, key, text)


def _type(hint: Any) -> str:
    bare, constraint, _ = unpack(hint)
    if get_origin(bare) is tuple:
        item = get_args(bare)[0]
        return "list" if is_section(unpack(item)[0]) else f"list of {_type(item)}"
    if get_origin(bare) is Mapping:
        return f"mapping of name to {_type(get_args(bare)[1])}"
    if get_origin(bare) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(bare))
    if isinstance(constraint, Format):
        return constraint.name
    names = {bool: "boolean", int: "integer", float: "number", Path: "path", Match: "expression"}
    name = names.get(bare, "text")
    if isinstance(constraint, Range):
        if constraint.high is None:
            return f"{name} ≥ {amount(constraint.low)}"
        return f"{name}, {amount(constraint.low)} to {amount(constraint.high)}"
    return name


def _shown(default: Any) -> str:
    if default is dataclasses.MISSING:
        return "required"
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, str | Path):
        return f"`{default}`" if str(default) else "empty"
    if isinstance(default, tuple | Mapping):
        return ", ".join(f"`{item}`" for item in default) or "empty"
    return f"{default:g}" if isinstance(default, float) else str(default)


def _detectors() -> str:
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in sorted(detectors().items()))
    return f"\n## Detectors\n\nNames for `redaction.detectors`:\n\n| | finds |\n|---|---|\n{rows}"


def files() -> Mapping[str, str]:
    """Path in the repository -> the text that belongs there."""
    schema = json.dumps(json_schema(), indent=2, ensure_ascii=False)
    return {"schemas/config.schema.json": schema + "\n", "docs/configuration.md": markdown()}
