"""What the dashboard "Retrieval" says: of the workshop's searches, the captures and the demo."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from collector.dashboards import query
from collector.dashboards.scope import FILTERS
from tests.dashboards.filled import DATABASE, HOUR_NS, Filled
from tests.dashboards.test_tools import rows

DAYS_NS = 24 * HOUR_NS


def everywhere(filled: Filled, name: str, by: str = "", **given: str) -> list[dict[str, Any]]:
    """Captures too."""
    asked = query.load(name)
    context = replace(
        filled.demo(),
        since_ns=filled.began_ns - 3650 * DAYS_NS,
        given=dict.fromkeys(FILTERS, "") | {"level": "tasks"} | given,
        trusted={"database": DATABASE, "by": asked.dimensions.get(by, "''")},
    )
    return filled.store.query(asked.runnable(context))


def test_a_miss_is_a_search_that_found_nothing(filled: Filled) -> None:
    """S5.63: of five searches one found nothing, by source, agent and index version."""
    (every,) = rows(filled, "retrieval-summary", "all")
    assert (every["retrievals"], every["runs"]) == (5, 5)
    assert every["miss_rate"] == pytest.approx(1 / 5)
    sources = {row["dimension"]: row for row in rows(filled, "retrieval-summary", "source")}
    assert sources["rules"]["miss_rate"] == pytest.approx(1 / 4)
    assert sources["rules"]["documents"] == pytest.approx(6 / 4)
    versions = {row["dimension"] for row in rows(filled, "retrieval-summary", "index-version")}
    assert versions == {"i-9", "not told"}
    over_time = {row["source"]: row["miss_rate"] for row in rows(filled, "retrieval-misses")}
    assert over_time["VectorStoreRetriever"] == 0
    (nothing,) = rows(filled, "retrieval-nothing")
    assert (nothing["query"], nothing["filters"]) == ("refund after a year", '{"lang":"en"}')
    assert nothing["removed"] == 2


def test_the_demo_asks_once_for_what_nobody_wrote_down(filled: Filled) -> None:
    """Of its eight searches, the one about repairs."""
    (row,) = rows(filled, "retrieval-summary", "all", environment="demo")
    assert (row["retrievals"], row["miss_rate"]) == (8, pytest.approx(1 / 8))
    (nothing,) = rows(filled, "retrieval-nothing", environment="demo")
    assert nothing["query"] == "Do you repair e-bikes?"


def test_documents_are_read_in_the_words_of_every_emitter(filled: Filled) -> None:
    """S5.7, S5.15: JSON lists and flattened attributes; ids, ranks and scores of the captures."""
    found = {row["document"]: row for row in everywhere(filled, "retrieval-documents")}

    assert found["doc-0"]["returned"] >= 3  # Langfuse, LangSmith, LangChain by OpenInference
    assert found["doc-0"]["mean_rank"] == 1
    assert found["doc-1"]["mean_rank"] == 2
    haystack = next(row for name, row in found.items() if name.startswith("b262e722"))
    assert haystack["mean_score"] == pytest.approx(1.5445127)
    assert found["refunds-3"]["returned"] == 7
    assert found["refunds-3"]["version"] == "2026-03-02"


def test_top_documents_say_how_their_runs_ended(filled: Filled) -> None:
    """S5.54: rank, score, version, outcome."""
    found = {row["document"]: row for row in rows(filled, "retrieval-documents")}

    assert set(found) == {"terms", "faq", "hours", "map"}
    terms = found["terms"]
    assert (terms["returned"], terms["first"], terms["runs"]) == (3, 1, 3)
    assert terms["share"] == pytest.approx(3 / 5)
    assert terms["success_rate"] == 1
    assert (terms["versions"], terms["version"]) == (1, "2020-01-01")
    assert found["faq"]["mean_rank"] == 2


def test_a_document_is_as_old_as_it_says(filled: Filled) -> None:
    """S5.81: by a field of its metadata, or a version that is a date; others have no age."""
    found = {row["source"]: row for row in rows(filled, "retrieval-age")}

    flat = found["VectorStoreRetriever"]
    assert (flat["with_age"], flat["with_version"]) == (1, 0)
    assert flat["oldest_days"] == pytest.approx(730, abs=1)
    assert (flat["over_a_year"], flat["oldest"]) == (0.5, "map")
    rules = found["rules"]
    assert (rules["used"], rules["with_version"], rules["with_age"]) == (6, 1, 0.5)
    assert rules["age_p50_days"] > 2000
    (demo,) = rows(filled, "retrieval-age", environment="demo")
    assert (demo["oldest"], demo["with_age"]) == ("returns-1", 1)


def test_scores_tell_the_lead_of_the_best_and_what_reranking_changed(filled: Filled) -> None:
    """S5.32: of retrievals with scores, by how they searched."""
    found = {row["source"]: row for row in rows(filled, "retrieval-scores")}

    rules = found["rules"]
    assert (rules["retrievals"], rules["embedding_model"], rules["index"]) == (3, "embed-1", "i-9")
    assert rules["best_p50"] == pytest.approx(0.7)
    assert rules["lead"] == pytest.approx(0.1)
    assert rules["reranked_p50"] == pytest.approx(0.9)
    assert rules["moved"] == 1
    assert found["VectorStoreRetriever"]["best_p50"] == pytest.approx(1.5)
    bands = {row["band"]: row["retrievals"] for row in rows(filled, "retrieval-score-spread")}
    assert bands == {"0.7 to 0.8": 3, "1 to 2": 1}


def test_filters_say_what_they_took_away(filled: Filled) -> None:
    """S4.34: a permission filter that leaves nothing is not a search that found nothing."""
    found = {row["source"]: row for row in rows(filled, "retrieval-settings")}
    rules = found["rules"]
    assert (rules["filters"], rules["reranker"], rules["top_k"]) == (
        '{"lang":"en"}', "rerank-3", "5",
    )  # fmt: skip
    assert (rules["retrievals"], rules["all_removed"]) == (4, 1)
    reasons = {row["reason"]: row for row in rows(filled, "retrieval-removed")}
    assert set(reasons) == {"permission", "age"}
    assert reasons["permission"]["document"] == "secret-1"
    assert reasons["permission"]["left_nothing"] == 1


def test_runs_whose_search_found_nothing_are_compared_with_the_rest(filled: Filled) -> None:
    """S5.54: does retrieval matter to the outcome?"""
    found = {row["found"]: row for row in rows(filled, "retrieval-outcomes", agent="librarian")}
    assert found["each found something"]["runs"] == 4
    assert found["each found something"]["success_rate"] == 1
    assert found["all found nothing"]["success_rate"] == 0
    assert "none" not in found


def test_latency_of_searches_is_a_series(filled: Filled) -> None:
    """S5.62: each of the workshop's took half a second."""
    for row in rows(filled, "retrieval-latency"):
        assert row["p50"] == pytest.approx(500)


@pytest.mark.parametrize("name", [one for one in query.names() if one.startswith("retrieval-")])
def test_a_workspace_sees_no_documents_of_others(filled: Filled, name: str) -> None:
    """Content is the last thing that may leak: spans and large values are limited as well."""
    asked = query.load(name)
    context = replace(
        filled.demo(),
        since_ns=filled.began_ns - HOUR_NS,
        given=dict.fromkeys(FILTERS, "") | {"level": "tasks"},
        trusted={"database": DATABASE, "by": "''"},
    )
    found = filled.store.query(asked.runnable(context, workspace="nobody's"))
    assert not [row for row in found if any(row.values())]
