"""What retrievals said of their documents, as one table that query files read: `$retrievals`.

Documents are attributes of spans, in each emitter's own form: a JSON list (OpenTelemetry, our SDK,
LangSmith, Langfuse, MLflow) or one attribute for each of their fields (OpenInference).  The keys
are those that the dialects read (docs/dialects.md).  JSON takes time, so only the newest
retrievals of a period are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NEWEST_MAX: Final = 10_000
LISTS: Final = (
    "gen_ai.retrieval.documents", "retrieval.documents", "gen_ai.memory.records",
    "langfuse.observation.output", "mlflow.spanOutputs", "gen_ai.completion", "output.value",
)  # fmt: skip
"""Attributes that may hold a JSON list of documents; the first that does."""
WITHIN: Final = ("documents", "output", "results")
"""Where in an object that list may be."""
FLAT: Final = r"'^((?:retrieval\\.documents|reranker\\.output_documents)\\.\\d+\\.document\\.)'"
"""Pattern of what comes before the fields of one document, as SQL."""
SETTINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "Collection": (
        "agentrun.retrieval.collection", "gen_ai.data_source.id", "db.collection.name",
    ),
    "EmbeddingModel": ("agentrun.retrieval.embedding_model", "embedding.model_name"),
    "Reranker": ("agentrun.retrieval.reranker", "reranker.model_name"),
    "TopK": ("gen_ai.retrieval.top_k", "gen_ai.request.top_k", "reranker.top_k"),
    "Query": (
        "gen_ai.retrieval.query.text", "gen_ai.memory.query.text", "reranker.query",
        "langfuse.observation.input", "mlflow.spanInputs", "gen_ai.prompt", "input.value",
    ),
}  # fmt: skip
"""Column -> attributes, the first that says anything."""
CHANGED: Final = (
    "updated_at", "last_modified", "last_modified_date", "modified_at", "updated", "modified",
    "published_at", "creation_date", "created_at", "date",
)  # fmt: skip
"""Fields of a document, or of its metadata, that say when it was last changed."""
STEP: Final = (
    "Timestamp", "TraceId", "SpanId", "RunId", "AgentName", "Name", "Status", "HitCount",
    "DurationMs",
)  # fmt: skip
DOCUMENT: Final = (
    "Array(Tuple(id String, score Nullable(Float64), reranker Nullable(Float64), rank UInt32,"
    " version String, changed Nullable(DateTime64(3))))"
)


def retrievals(filters: str) -> str:
    """One row for each of the newest retrievals that pass `filters`: its step, what it searched
    (`Source`, `Collection`, `Index`) and how, `Query`, `Removed`, and `Documents`, best first."""
    which = f"$__timeFilter(Timestamp) AND Counted AND Kind = 'retrieve'\n  AND {filters}"
    # Old versions of a step do to find hours and places: FINAL then reads no more than those.
    since = (
        "SELECT min(hour) FROM\n"
        "(SELECT toStartOfHour(Timestamp) AS hour FROM $database.agent_steps\n"
        f"WHERE {which}\nORDER BY hour DESC LIMIT {NEWEST_MAX})"
    )
    newest = (
        f"SELECT {', '.join(STEP)}, Labels['index_version'] AS Index\n"
        f"FROM $database.steps\nWHERE {which}\n  AND Timestamp >= since\n"
        f"ORDER BY toStartOfHour(Timestamp) DESC LIMIT {NEWEST_MAX}"
    )
    places = (
        "$__timeFilter(Timestamp) AND Timestamp >= since AND (TraceId, SpanId) IN\n"
        f"    (SELECT TraceId, SpanId FROM $database.agent_steps WHERE {which}\n"
        "    AND Timestamp >= since)"
    )
    return f"""(
WITH ({since}) AS since
SELECT
    {", ".join(f"step_.{name} AS {name}" for name in (*STEP, "Index"))},
    {SOURCE} AS Source,
    {", ".join(f"{_first(keys)} AS {name}" for name, keys in SETTINGS.items())},
    said['agentrun.retrieval.filters'] AS Filters,
    toInt64OrZero(said['agentrun.retrieval.removed_count']) AS RemovedCount,
    said['agentrun.retrieval.removed'] AS Removed,
    arrayFilter(one -> JSONType(one) = 'Object', arrayFirst(
        list -> notEmpty(list), {_lists()})) AS listed,
    {FLAT_DOCUMENTS} AS flat,
    if(empty(listed) OR arrayExists(
        one -> {_text("one", "id")} != '' OR {_number("one", "score")} IS NOT NULL, flat),
        flat, listed) AS chosen,
    CAST(arrayMap((one, rank) -> ({_name("one")}, {_number("one", "score")},
        {_number("one", "reranker_score")}, rank,
        {_text("one", "version")}, parseDateTime64BestEffortOrNull({_changed("one")}, 3)),
        chosen, arrayEnumerate(chosen)), '{DOCUMENT}') AS Documents
FROM ({newest}) AS step_
INNER JOIN
(
    SELECT TraceId, SpanId, SpanAttributes AS said FROM $database.otel_traces
    WHERE {places}
    LIMIT 1 BY TraceId, SpanId
) AS span USING (TraceId, SpanId)
LEFT JOIN
(
    SELECT TraceId, SpanId, any(Value) AS long FROM $database.agent_content
    WHERE Key IN ({_quoted(LISTS)}) AND {places}
    GROUP BY TraceId, SpanId
) AS content USING (TraceId, SpanId)
)"""


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _first(keys: tuple[str, ...]) -> str:
    """The first attribute that says anything."""
    listed = ", ".join(f"said['{key}']" for key in keys)
    return f"arrayFirst(text -> text != '', [{listed}])"


def _lists() -> str:
    """Every list of JSON in the attributes, as an array of arrays."""
    texts = ["long", *(f"said['{key}']" for key in LISTS)]
    paths = ["", *(f", '{name}'" for name in WITHIN)]
    found = [f"JSONExtractArrayRaw({text}{path})" for path in paths for text in texts]
    return f"[{', '.join(found)}]"


def _text(document: str, field: str) -> str:
    """A field of a document or of its metadata as text, a number too."""
    found = [f"JSONExtractRaw({document}{path}, '{field}')" for path in ("", ", 'metadata'")]
    return f"""arrayFirst(text -> text NOT IN ('', 'null'),
        arrayMap(raw -> trim(BOTH '"' FROM raw), [{", ".join(found)}]))"""


def _name(document: str) -> str:
    """What a document is called: its id, else where it is from."""
    named = [_text(document, field) for field in ("id", "document_id", "doc_id", "source")]
    return f"arrayFirst(text -> text != '', [{', '.join(named)}])"


def _changed(document: str) -> str:
    """When it was changed, as text; a version that is a date says so, too."""
    told = [_text(document, field) for field in CHANGED]
    version = _text(document, "version")
    dated = rf"if(match({version}, '^\\d{{4}}-\\d\\d(-\\d\\d)?'), {version}, '')"
    return f"arrayFirst(text -> text != '', [{', '.join([*told, dated])}])"


def _number(document: str, field: str) -> str:
    return f"JSONExtract({document}, '{field}', 'Nullable(Float64)')"


SOURCE: Final = r"replaceRegexpOne(Name, '^(agent\\.retrieve|retrieval|search_memory) ', '')"
"""What is searched, as the span's name says it."""
PREFIXES: Final = rf"""arraySort(prefix -> toUInt32OrZero(extract(prefix, '\\d+')),
            arrayFilter(prefix -> prefix != '', arrayDistinct(arrayMap(
                key -> extract(key, {FLAT}), mapKeys(said)))))"""
FLAT_DOCUMENTS: Final = rf"""arrayMap(
        (id, score, metadata) -> concat('{{"id":', toJSONString(id),
            ',"score":', if(isNull(toFloat64OrNull(score)), 'null', score),
            ',"metadata":', if(isValidJSON(metadata), metadata, 'null'), '}}'),
        arrayMap(prefix -> said[concat(prefix, 'id')], {PREFIXES}),
        arrayMap(prefix -> said[concat(prefix, 'score')], {PREFIXES}),
        arrayMap(prefix -> said[concat(prefix, 'metadata')], {PREFIXES}))"""
"""OpenInference's attributes as JSON objects, in their order."""
