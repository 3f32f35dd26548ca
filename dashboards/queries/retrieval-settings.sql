-- title: Filters and settings
-- description: >-
--   How sources were searched, and what came of it: filters, collection, index version, embedding
--   model, reranker, number of documents asked for; of the newest 10,000 retrievals. A filter with
--   many misses is too narrow; documents that were removed had been found, and were not allowed.
-- answers: S4.10 S4.34 S5.7 S5.15 S5.32 S5.63 S5.82
-- empty: Nothing was retrieved in this period with these filters
-- columns:
--   source: {unit: text, width: 160}
--   collection: {unit: text, width: 130}
--   filters: {unit: text, width: 220}
--   index: {unit: text, label: Index version, width: 120}
--   embedding_model: {unit: text, width: 170}
--   reranker: {unit: text, width: 120}
--   top_k: {unit: text, label: Asked for, width: 80}
--   retrievals: {unit: short, colored: bar}
--   miss_rate: {unit: percentunit, colored: bad, decimals: 1}
--   documents: {unit: short, decimals: 1, label: Documents per retrieval}
--   removed: {unit: short, decimals: 1, label: Removed per retrieval}
--   all_removed: {unit: short, label: All removed}
--   duration_p95_ms: {unit: ms, label: p95 duration}
--   run_id: {unit: text, label: Last run, link: run}
SELECT
    Source AS source,
    Collection AS collection,
    Filters AS filters,
    Index AS index,
    EmbeddingModel AS embedding_model,
    Reranker AS reranker,
    TopK AS top_k,
    count() AS retrievals,
    countIf(HitCount = 0) / nullIf(countIf(HitCount IS NOT NULL), 0) AS miss_rate,
    avg(HitCount) AS documents,
    avg(RemovedCount) AS removed,
    countIf(HitCount = 0 AND RemovedCount > 0) AS all_removed,
    quantile(0.95)(DurationMs) AS duration_p95_ms,
    argMax(RunId, Timestamp) AS run_id
FROM $retrievals
GROUP BY source, collection, filters, index, embedding_model, reranker, top_k
ORDER BY retrievals DESC
LIMIT 200
