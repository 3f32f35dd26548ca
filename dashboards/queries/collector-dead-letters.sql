-- title: Dead letters
-- description: What could not be decoded or stored, by reason and sender; its bytes are never kept. `agentrun doctor` says what to do.
-- answers: S5.66 S5.71 S5.73
-- empty: Nothing was dead-lettered in this period
-- tenants: false
-- columns:
--   signal: text
--   reason: text
--   letters: {unit: short, colored: bar}
--   items: short
--   size_bytes: {unit: bytes, label: Size}
--   last_at: {unit: time, label: Last}
--   peer: {unit: text, label: Last sender}
--   error: {unit: text, label: Last error}
SELECT
    Signal AS signal, Reason AS reason, count() AS letters, sum(Items) AS items,
    sum(SizeBytes) AS size_bytes, max(Timestamp) AS last_at,
    argMax(Peer, Timestamp) AS peer, argMax(Error, Timestamp) AS error
FROM $database.dead_letters FINAL
WHERE $__timeFilter(Timestamp)
GROUP BY signal, reason
ORDER BY letters DESC
LIMIT 100
