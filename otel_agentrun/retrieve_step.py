"""A retrieval: what was found, in which order, and what filters took away."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

from opentelemetry.trace import SpanKind

from otel_agentrun import semconv, values
from otel_agentrun.agent_step import AgentStep

__all__ = ["Retrieve"]

SNIPPET_CHARS_MAX: Final = 1000
DOCUMENTS_MAX: Final = 200


class Retrieve(AgentStep):
    """Retrieval, reranking, or search in a memory."""

    kind = "retrieve"
    prefix = semconv.RETRIEVE_SPAN
    span_kind = SpanKind.CLIENT
    __slots__ = ()

    def documents(
        self,
        documents: Iterable[object],
        *,
        removed: int | Mapping[str, str] | None = None,
        index_version: str = "",
    ) -> Self:
        """What came back, best first: mappings with `id`, `score`, `reranker_score`, `version`,
        `snippet`; objects with such attributes; or texts.  Only snippets are kept, no documents.

        `removed` is what filters took away: a count, or document id -> reason.
        """
        listed = [_document(each, rank) for rank, each in enumerate(documents, 1)]
        self._keep(semconv.GEN_AI_RETRIEVAL_DOCUMENTS, listed[:DOCUMENTS_MAX])
        self._say(
            {
                semconv.RETRIEVAL_HIT_COUNT: len(listed),
                semconv.INDEX_VERSION: index_version,
            }
        )
        if isinstance(removed, Mapping):
            self._say({semconv.RETRIEVAL_REMOVED_COUNT: len(removed)})
            gone = [{"id": name, "reason": reason} for name, reason in removed.items()]
            return self._keep(semconv.RETRIEVAL_REMOVED, gone)
        return self._say({semconv.RETRIEVAL_REMOVED_COUNT: removed})

    def given(self, arguments: Mapping[str, Any]) -> None:
        """`query` among the arguments, else the first of them."""
        query = arguments.get("query", next(iter(arguments.values()), None))
        if query is not None:
            self._content.setdefault(semconv.GEN_AI_RETRIEVAL_QUERY_TEXT, query)

    def returned(self, value: Any) -> None:
        if semconv.RETRIEVAL_HIT_COUNT in self._late or value is None:
            return
        if isinstance(value, list | tuple):
            self.documents(value)
        else:
            super().returned(value)


def _document(value: object, rank: int) -> dict[str, Any]:
    if isinstance(value, str):
        return {"rank": rank, "snippet": values.cut(value, SNIPPET_CHARS_MAX)}
    found: dict[str, Any] = {}
    for name, spellings in DOCUMENT_FIELDS.items():
        for spelling in spellings:
            read = value.get(spelling) if isinstance(value, Mapping) else None
            if read is None and not isinstance(value, Mapping):
                read = getattr(value, spelling, None)
            if read is not None and not callable(read):
                found[name] = read
                break
    if "snippet" in found:
        found["snippet"] = values.cut(str(found["snippet"]), SNIPPET_CHARS_MAX)
    found.setdefault("rank", rank)
    return found


DOCUMENT_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "id": ("id", "document_id", "doc_id"),
    "score": ("score", "similarity"),
    "reranker_score": ("reranker_score", "rerank_score"),
    "rank": ("rank",),
    "version": ("version",),
    "snippet": ("snippet", "content", "page_content", "text"),
}
"""Field of the document -> how retrievers spell it, first present wins."""
