"""Which functions a reader may call: a closed list, made once from the engine's own catalog.

`functions.txt` is what counts.  A new engine may bring functions that reach files, networks or
secrets; they are refused until somebody ran `python -m collector.clickhouse_http.functions` and
read the difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

LIST: Final = Path(__file__).with_name("functions.txt")

CATEGORIES: Final = frozenset({
    "Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional",
    "Dates and Times", "Distance", "Encoding", "Encryption", "Financial", "Geo", "Geo Polygon",
    "Hash", "IP Address", "JSON", "Logical", "Map", "Mathematical", "Null", "NumericIndexedVector",
    "QBit", "Random Number", "Rounding", "String", "String Replacement", "String Search",
    "String Splitting", "Time Window", "Tuple", "Type Conversion", "URL", "UUID",
})  # fmt: skip
"""Of the engine's documentation; functions of these compute from their arguments alone."""
EXCEPT: Final = frozenset({
    "aggThrow", "chdb", "flameGraph", "formatRow", "formatRowNoNewline",
})  # fmt: skip
"""Members of those categories that fail at random, introspect or use format schemas."""
OTHERS: Final = frozenset({
    "bar", "blockNumber", "blockSize", "byteSize", "connectionId", "countDigits", "currentDatabase",
    "currentSchemas", "currentUser", "defaultValueOfArgumentType", "defaultValueOfTypeName",
    "displayName", "dumpColumnStructure", "errorCodeToName", "finalizeAggregation", "formatQuery",
    "formatQueryOrNull", "formatQuerySingleLine", "formatQuerySingleLineOrNull",
    "formatReadableDecimalSize", "formatReadableQuantity", "formatReadableSize",
    "formatReadableTimeDelta", "getSizeOfEnumType", "hostName", "identity", "ignore", "indexHint",
    "isConstant", "isDecimalOverflow", "lowCardinalityIndices", "lowCardinalityKeys", "materialize",
    "minSampleSizeContinuous", "minSampleSizeConversion", "neighbor", "normalizeQuery",
    "normalizedQueryHash", "parseReadableSize", "parseReadableSizeOrNull",
    "parseReadableSizeOrZero", "parseTimeDelta", "queryID", "revision", "rowNumberInAllBlocks",
    "rowNumberInBlock", "runningAccumulate", "runningDifference",
    "runningDifferenceStartingWithFirstValue", "throwIf", "toColumnTypeName", "toTypeName",
    "transform", "uptime", "variantElement", "variantType", "version", "visibleWidth",
})  # fmt: skip
"""Picked from the category `Other`, which also holds `file`, `getSetting` and the like."""
SYNTAX: Final = frozenset({"exists", "lambda", "untuple", "grouping", "_CAST"})
"""What the parser writes as a function."""
TABLE_FUNCTIONS: Final = frozenset({
    "numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "values",
    "null", "primes",
})  # fmt: skip
"""In lower case.  They make rows from their arguments alone."""
COMBINATORS: Final = re.compile(
    "(If|Array|Map|State|SimpleState|Merge|ForEach|Distinct|OrDefault|OrNull|Resample|ArgMin|ArgMax"
    "|Null|Tuple)$"
)
CATALOG: Final = """\
SELECT name, alias_to, trim(categories) AS category, case_insensitive, origin
FROM system.functions FORMAT JSONEachRow"""


@cache
def allowed() -> tuple[frozenset[str], frozenset[str]]:
    """Names as they are written, and those whose case does not matter, in lower case."""
    exact, folded = set(SYNTAX), set()
    for line in LIST.read_text().split():
        name, _, any_case = line.partition("/")
        exact.add(name)
        if any_case:
            folded.add(name.lower())
    return frozenset(exact), frozenset(folded)


def is_allowed(name: str) -> bool:
    """Also aggregates with combinators (`sumIf`, `quantilesTDigestArrayState`)."""
    exact, folded = allowed()
    while name not in exact and name.lower() not in folded:
        shorter = COMBINATORS.sub("", name)
        if shorter == name:
            return False
        name = shorter
    return True


def chosen(catalog: Iterable[dict[str, object]]) -> list[str]:
    """Lines of the list: a name, with `/i` where its case does not matter."""
    rows = {str(row["name"]): row for row in catalog if row["origin"] == "System"}

    def fits(name: str) -> bool:
        row = rows.get(name)
        if row is None or name in EXCEPT or name.startswith("__"):
            return False
        if row["alias_to"]:
            return fits(str(row["alias_to"]))
        return row["category"] in CATEGORIES or name in OTHERS

    names = sorted(name for name in rows if fits(name))
    refused = {name.lower() for name in rows if not fits(name)}
    folded = {name for name in names if rows[name]["case_insensitive"]}
    assert not refused & {name.lower() for name in folded}, "a refused name in another case"
    return [f"{name}/i" if name in folded else name for name in names]


def main() -> None:
    """Write the list of the engine that is installed."""
    import json

    from collector.clickhouse_http.engine import Engine

    engine = Engine()
    rows = [json.loads(line) for line in engine.text(CATALOG).splitlines()]
    engine.close()
    LIST.write_text("\n".join(chosen(rows)) + "\n")


if __name__ == "__main__":
    main()
