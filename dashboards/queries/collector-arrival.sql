-- title: Arrival of spans
-- description: >-
--   From the end of a span until the collector received it: the batching of exporters, network, retries.
--   What the collector takes after that is "From span to run".
-- answers: S1.39 S4.8
-- columns:
--   time: time
--   p50_secs: {unit: s, label: p50}
--   p95_secs: {unit: s, label: p95}
SELECT
    $__timeInterval(Timestamp) AS time,
    quantile(0.5)(delay) AS p50_secs,
    quantile(0.95)(delay) AS p95_secs
FROM
(
    SELECT
        Timestamp,
        (toUnixTimestamp64Nano(ReceivedAt) - toUnixTimestamp64Nano(Timestamp) - toInt64(Duration)) / 1e9 AS delay
    FROM $database.otel_traces
    WHERE $__timeFilter(Timestamp)
)
GROUP BY time
ORDER BY time
