-- title: Cost spike
-- description: >-
--   What an agent spent in the last hour, in multiples of its mean hour of the week before; up to a dollar an
--   hour is taken as usual. Look at the dearest runs on the dashboard Cost and budgets.
-- answers: S1.9 S3.22 S5.76
-- columns:
--   agent: text
--   times_usual: short
SELECT
    AgentName AS agent,
    sumIf(CostUsd, StartTime >= $__toTime - INTERVAL 1 HOUR)
        / greatest(1, sumIf(CostUsd, StartTime < $__toTime - INTERVAL 1 HOUR) / 168) AS times_usual
FROM $database.runs
WHERE StartTime >= $__toTime - INTERVAL 169 HOUR AND StartTime <= $__toTime
GROUP BY agent
