-- title: Senders
-- description: Which services send spans, how many, when the last one came.
-- answers: S4.8 S5.70
-- columns:
--   service: {unit: text, width: 200}
--   environment: text
--   spans: {unit: short, colored: bar}
--   traces: short
--   last_at: {unit: time, label: Last span}
SELECT
    ServiceName AS service,
    ResourceAttributes['deployment.environment.name'] AS environment,
    count() AS spans,
    uniq(TraceId) AS traces,
    max(Timestamp) AS last_at
FROM $database.otel_traces
WHERE $__timeFilter(Timestamp)
GROUP BY service, environment
ORDER BY spans DESC
LIMIT 100
