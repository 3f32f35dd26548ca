"""What a statement may do, decided on the tree that the engine's own parser makes of it.

Everything is a closed list: kinds of nodes, functions, tables, settings, formats.  What a list does
not have is refused, so that a statement of a newer engine is refused too until somebody looked.
Pure: the tree comes in as JSON (of the engine's `parseQueryToJSON`), nothing is run here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from collector.clickhouse_http import allowed_settings, functions
from collector.clickhouse_http.allowed_settings import FILTERS, QueryLimits
from collector.clickhouse_http.errors import ServerError

Node: TypeAlias = Mapping[str, Any]

NODES: Final = frozenset({
    "ArrayJoin", "Asterisk", "ColumnsApplyTransformer", "ColumnsExceptTransformer",
    "ColumnsListMatcher", "ColumnsRegexpMatcher", "ColumnsReplaceTransformer",
    "ColumnsReplaceTransformerReplacement", "ColumnsTransformerList", "DataType", "ExpressionList",
    "Function", "Identifier", "InterpolateElement", "Literal", "NameTypePair", "OrderByElement",
    "QualifiedAsterisk", "QualifiedColumnsListMatcher", "QualifiedColumnsRegexpMatcher",
    "QueryParameter", "SampleRatio", "SelectIntersectExceptQuery", "SelectQuery",
    "SelectWithUnionQuery", "SetQuery", "Subquery", "TableExpression", "TableIdentifier",
    "TableJoin", "TablesInSelectQuery", "TablesInSelectQueryElement", "WindowDefinition",
    "WindowListElement", "WithElement",
})  # fmt: skip
STATEMENTS: Final = frozenset({"SelectWithUnionQuery", "SelectIntersectExceptQuery"})
EXPLAINS: Final = frozenset({
    "EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN QUERY TREE", "EXPLAIN PIPELINE",
    "EXPLAIN ESTIMATE",
})  # fmt: skip
EXPLAIN_OPTIONS: Final = frozenset({
    "actions", "compact", "description", "dump_ast", "dump_passes", "dump_tree", "graph", "header",
    "indexes", "json", "oneline", "optimize", "passes", "pretty", "projections",
    "query_tree_passes", "run_passes", "run_query_tree_passes", "sorting",
})  # fmt: skip
SHOW_KEYS: Final = frozenset({
    "type", "databases", "settings", "from", "like", "not_like", "case_insensitive_like", "full",
    "limit_length", "where_expression", "format_ast", "is_outfile_append", "is_outfile_truncate",
    "is_into_outfile_with_stdout",
})  # fmt: skip
IN: Final = re.compile(r"(?:global)?(?:not)?(?:null)?in(?:ignoreset)?", re.IGNORECASE)
"""Functions whose second argument may be a table's name."""
PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*")
FORMATS: Final = frozenset(
    name
    for line in """
    Arrow ArrowStream Avro BSONEachRow CSV CSVWithNames CSVWithNamesAndTypes GeoJSON JSON
    JSONColumns JSONColumnsWithMetadata JSONCompact JSONCompactColumns JSONCompactEachRow
    JSONCompactEachRowWithNames JSONCompactEachRowWithNamesAndTypes JSONCompactEachRowWithProgress
    JSONCompactStrings JSONCompactStringsEachRow JSONCompactStringsEachRowWithNames
    JSONCompactStringsEachRowWithNamesAndTypes JSONCompactStringsEachRowWithProgress JSONEachRow
    JSONEachRowWithProgress JSONL JSONLines JSONObjectEachRow JSONStrings JSONStringsEachRow
    JSONStringsEachRowWithProgress LineAsString LineAsStringWithNames MD Markdown MsgPack NDJSON
    Native Npy Null ODBCDriver2 ORC Parquet Pretty PrettyCompact PrettyCompactMonoBlock
    PrettyCompactNoEscapes PrettyJSONEachRow PrettyJSONLines PrettyMonoBlock PrettyNDJSON
    PrettyNoEscapes PrettySpace PrettySpaceMonoBlock PrettySpaceNoEscapes Prometheus RawBLOB
    RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes SQLInsert TSKV TSV TSVRaw
    TSVRawWithNames TSVRawWithNamesAndTypes TSVWithNames TSVWithNamesAndTypes TabSeparated
    TabSeparatedRaw TabSeparatedRawWithNames TabSeparatedRawWithNamesAndTypes TabSeparatedWithNames
    TabSeparatedWithNamesAndTypes Values Vertical XML""".splitlines()
    for name in line.split()
)
"""Of the engine's output formats, those that need neither a schema nor a template from a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """What there is, and what may be read."""

    database: str
    """The one that names without a database are in."""
    readable: Mapping[str, Collection[str]]
    """Database -> tables that may be read."""
    present: Collection[str]
    """All tables of `database`."""


@dataclass(slots=True, kw_only=True)
class Verdict:
    """Collected from one tree."""

    format: str = ""
    """As the statement names it."""
    has_settings: bool = False
    """The statement has to run with `readonly = 2`, which lets it change settings."""
    filters: list[str] = field(default_factory=list)
    """Conditions in SQL inside of settings, which are to be parsed and checked likewise."""


def check(
    tree: Node, catalog: Catalog, limits: QueryLimits, parameters: Mapping[str, str]
) -> Verdict:
    """Raises ServerError that names what is not allowed."""
    verdict = Verdict()
    kind = tree.get("type")
    if kind == "ExplainQuery":
        if tree.get("kind") not in EXPLAINS:
            raise not_allowed(f"`{tree.get('kind')}`")
        for change in _changes(tree.get("settings") or {"type": "SetQuery", "changes": []}):
            if change["name"] not in EXPLAIN_OPTIONS:
                raise allowed_settings.refused(str(change["name"]))
        _no_file(tree)
        verdict.format = _format(tree)
        tree = tree.get("query") or {}
        kind = tree.get("type")
    if kind == "ShowTablesQuery":
        _check_show(tree, catalog)
        verdict.format = verdict.format or _format(tree)
        tree = tree.get("where_expression") or {}
    elif kind not in STATEMENTS:
        raise not_allowed(f"a statement of the kind `{str(kind).removesuffix('Query')}`")
    else:
        verdict.format = verdict.format or _format(tree)
    ctes = {str(node["name"]) for node in _nodes(tree) if node["type"] == "WithElement"}
    resolve = _resolver(catalog, ctes, parameters)
    for node in _nodes(tree):
        if node["type"] not in NODES:
            raise not_allowed(f"`{node['type']}`")
        _no_file(node)
        match node["type"]:
            case "Function":
                _check_function(node, resolve)
            case "ColumnsApplyTransformer" if node.get("func_name"):
                _check_name(str(node["func_name"]))
            case "TableExpression":
                _check_table_expression(node)
            case "TableIdentifier":
                resolve(node)
                # Drivers read there which settings they may send: not none, as `readonly = 1` says.
                verdict.has_settings |= str(node.get("name")).endswith("settings")
            case "SetQuery":
                verdict.has_settings = True
                for change in _changes(node):
                    name, value = str(change["name"]), change["value"]
                    allowed_settings.in_query(name, _plain(value), limits)
                    if name == FILTERS:
                        verdict.filters += [condition for _, condition in conditions(value)]
    return verdict


def check_filter(
    tree: Node, catalog: Catalog, limits: QueryLimits, parameters: Mapping[str, str]
) -> None:
    """The tree of `SELECT <condition>`: one expression and nothing else.  Raises ServerError."""
    selects = (tree.get("list_of_selects") or {}).get("children") or []
    one = len(selects) == 1 and set(selects[0]) == {"type", "select"}
    if not one or len(selects[0]["select"].get("children") or []) != 1 or "format_ast" in tree:
        raise not_allowed(f"a condition in `{FILTERS}` that is not one expression")
    verdict = check(tree, catalog, limits, parameters)
    if verdict.has_settings:
        raise not_allowed(f"SETTINGS inside of `{FILTERS}`")


def conditions(value: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(Table, condition) of `{'table': 'condition'}` as a literal of a tree."""
    if value.get("field_type") != "Map":
        raise not_allowed(f"`{FILTERS}` that is no map")
    pairs = [entry["value"] for entry in value["value"]]
    return [(str(_plain(table)), str(_plain(condition))) for table, condition in pairs]


def check_format(name: str) -> None:
    if name not in FORMATS:
        raise ServerError(73, "UNKNOWN_FORMAT", f"Unknown or not allowed output format {name[:50]}")


def not_allowed(what: str) -> ServerError:
    return ServerError(
        497,
        "ACCESS_DENIED",
        f"Not enough privileges: this read-only endpoint does not allow {what}",
    )


# ------------------------------------------------------------------ parts of a tree


def _nodes(tree: Node) -> Iterator[dict[str, Any]]:
    """Every node with a type, whatever member it hangs on."""
    waiting: list[Any] = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            if "type" in value:
                yield value


def _no_file(node: Node) -> None:
    if "out_file" in node or "compression" in node or node.get("is_into_outfile_with_stdout"):
        raise ServerError(358, "INTO_OUTFILE_NOT_ALLOWED", "INTO OUTFILE is not allowed")


def _format(tree: Node) -> str:
    named = (tree.get("format_ast") or {}).get("name", "")
    if named:
        check_format(str(named))
    return str(named)


def _changes(node: Node) -> list[dict[str, Any]]:
    if set(node) - {"type", "changes"}:
        raise not_allowed("SETTINGS with defaults or query parameters")
    return list(node["changes"])


def _plain(value: Mapping[str, Any]) -> object:
    return value.get("value")


def _check_name(name: str) -> None:
    if not functions.is_allowed(name):
        raise not_allowed(f"the function `{name[:100]}`")


def _check_function(node: Node, resolve: Callable[[Node], None]) -> None:
    name = str(node["name"])
    if node.get("kind") == "TABLE_ENGINE":
        raise not_allowed("a table engine")
    # A table function is checked where its table expression is; it has no place anywhere else.
    if name.lower() not in functions.TABLE_FUNCTIONS:
        _check_name(name)
    arguments = (node.get("arguments") or {}).get("children") or []
    if IN.fullmatch(name):
        for argument in arguments[1:]:
            if argument.get("type") in ("Identifier", "QueryParameter", "TableIdentifier"):
                resolve({**argument, "or_column": True})


def _check_table_expression(node: Node) -> None:
    function = node.get("table_function")
    if function and str(function.get("name")).lower() not in functions.TABLE_FUNCTIONS:
        raise not_allowed(f"the table function `{str(function.get('name'))[:100]}`")


def _check_show(node: Node, catalog: Catalog) -> None:
    _no_file(node)
    if unknown := sorted(set(node) - SHOW_KEYS):
        raise not_allowed(f"SHOW with {', '.join(unknown)}")
    if "from" in node and _parts(node["from"], {}) not in [[name] for name in catalog.readable]:
        raise not_allowed("the tables of that database")


def _parts(node: Node, parameters: Mapping[str, str]) -> list[str]:
    """`a.b` as ["a", "b"], `{x:Identifier}` replaced."""
    if node["type"] == "QueryParameter":
        return [_identifier_value(node, parameters)]
    parts = [str(part) for part in node.get("name_parts") or [node.get("name", "")]]
    values = iter(node.get("children") or [])
    parts = [part or _identifier_value(next(values, {}), parameters) for part in parts]
    if next(values, None) is not None:
        raise not_allowed("a name made of parameters in this way")
    return parts


def _identifier_value(node: Node, parameters: Mapping[str, str]) -> str:
    value = parameters.get(str(node.get("name")), "")
    if node.get("type") != "QueryParameter" or not PLAIN_NAME.fullmatch(value):
        raise not_allowed("a parameter for a name that is not letters, digits and `_`")
    return value


def _resolver(
    catalog: Catalog, ctes: Collection[str], parameters: Mapping[str, str]
) -> Callable[[Node], None]:
    def resolve(node: Node) -> None:
        if node["type"] == "QueryParameter" and node.get("param_type") != "Identifier":
            return  # a value
        parts = _parts(node, parameters)
        or_column = bool(node.get("or_column"))
        if len(parts) == 1:
            name = parts[0]
            if name in catalog.readable.get(catalog.database, ()):
                return
            # A common table's name hides a table only inside its own scope, so that it must be no
            # table's; and a file's name is none, whatever the database makes of it.
            if name not in catalog.present and (name in ctes or or_column):
                if PLAIN_NAME.fullmatch(name):
                    return
                raise not_allowed(f"the name `{name[:100]}`")
            if name in catalog.present:
                raise not_allowed(f"the table `{catalog.database}.{name}`")
            message = f"Unknown table expression identifier '{name[:100]}'"
            raise ServerError(60, "UNKNOWN_TABLE", message)
        database, table = parts[0], parts[1]
        if len(parts) == 2 and table in catalog.readable.get(database, ()):
            return
        if database == catalog.database and table not in catalog.present:
            message = f"Unknown table expression identifier '{'.'.join(parts)[:100]}'"
            raise ServerError(60, "UNKNOWN_TABLE", message)
        raise not_allowed(f"the table `{'.'.join(parts)[:100]}`")

    return resolve
