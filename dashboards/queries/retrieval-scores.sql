-- title: Scores by source
-- description: >-
--   The best score of each retrieval, and how far the second is behind, of the newest 10,000. Scores
--   have the retriever's own scale: compare a source with itself. Low best scores mean that the answer
--   is not in the index, or is not found.
-- answers: S5.7 S5.15 S5.32
-- empty: No retrieval gave scores to its documents
-- columns:
--   source: {unit: text, width: 180}
--   collection: {unit: text, width: 140}
--   embedding_model: {unit: text, width: 180}
--   index: {unit: text, label: Index version, width: 120}
--   retrievals: {unit: short, colored: bar}
--   best_p10: {unit: short, decimals: 3, label: Best score p10}
--   best_p50: {unit: short, decimals: 3, label: Best score p50}
--   best_p90: {unit: short, decimals: 3, label: Best score p90}
--   lead: {unit: short, decimals: 3, label: Lead of the best}
--   mean: {unit: short, decimals: 3, label: Mean of all}
--   reranked_p50: {unit: short, decimals: 3, label: Best after reranking p50}
--   moved: {unit: percentunit, decimals: 1, label: Reranking changed the first}
--   run_id: {unit: text, label: Run with the lowest best score, link: run}
WITH
    arrayReverseSort(arrayMap(score -> assumeNotNull(score), arrayFilter(score -> score IS NOT NULL, Documents.score))) AS scores,
    arrayMap(score -> assumeNotNull(score), arrayFilter(score -> score IS NOT NULL, Documents.reranker)) AS reranked
SELECT
    Source AS source,
    Collection AS collection,
    EmbeddingModel AS embedding_model,
    Index AS index,
    count() AS retrievals,
    quantile(0.1)(scores[1]) AS best_p10,
    quantile(0.5)(scores[1]) AS best_p50,
    quantile(0.9)(scores[1]) AS best_p90,
    avgIfOrNull(scores[1] - scores[2], length(scores) > 1) AS lead,
    avg(arrayAvg(scores)) AS mean,
    quantileIfOrNull(0.5)(arrayMax(reranked), notEmpty(reranked)) AS reranked_p50,
    countIf(notEmpty(reranked) AND indexOf(Documents.score, scores[1]) != indexOf(Documents.reranker, arrayMax(reranked)))
        / nullIf(countIf(notEmpty(reranked)), 0) AS moved,
    argMin(RunId, scores[1]) AS run_id
FROM $retrievals
WHERE notEmpty(scores)
GROUP BY source, collection, embedding_model, index
ORDER BY retrievals DESC
LIMIT 200
