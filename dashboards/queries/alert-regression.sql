-- title: Regression after a version change
-- description: >-
--   How much worse an agent does since it began to use a version (of a prompt, policy, tools, route,
--   index, model, flag, the agent or the application) in the last day, against the version before it
--   in the last week: success that fell, or cost, tool calls or duration per run that rose, as a share.
--   Only where both versions have 20 runs and p is below 0.001. The dashboard Versions shows the rest.
-- answers: S5.65 S4.19 S5.57 S5.82 S3.45
-- columns:
--   agent: text
--   kind: text
--   subject: text
--   before: text
--   after: text
--   measure: text
--   worse: percentunit
WITH
    versions AS
    (
        SELECT
            AgentName AS agent,
            $every_version AS version,
            min(StartTime) AS first_at,
            count() AS n,
            countIf(Status = 'completed') AS good,
            [avg(CostUsd), avg(ToolCalls), avg(DurationMs)] AS mean,
            [varSamp(CostUsd), varSamp(ToolCalls), varSamp(DurationMs)] AS variance
        FROM $database.runs
        WHERE $__timeFilter(StartTime)
          AND Status NOT IN ('initiated', 'running', 'paused')
        GROUP BY agent, version
    ),
    pairs AS
    (
        SELECT
            *,
            row_number() OVER w AS place,
            lagInFrame(version.3) OVER w AS before,
            lagInFrame(n) OVER w AS n_before,
            lagInFrame(good) OVER w AS good_before,
            lagInFrame(mean) OVER w AS mean_before,
            lagInFrame(variance) OVER w AS variance_before
        FROM versions
        WINDOW w AS (PARTITION BY agent, version.1, version.2 ORDER BY first_at, version.3 ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    )
SELECT
    agent,
    version.1 AS kind,
    version.2 AS subject,
    before,
    version.3 AS after,
    compared.1 AS measure,
    compared.2 AS worse
FROM pairs
-- (measure, by how much it is worse, square of the statistic): z of two shares, Welch's t.
ARRAY JOIN arrayConcat(
    [(
        'success rate', 1 - good / n / (good_before / n_before),
        pow(good / n - good_before / n_before, 2) / ((good_before + good) / (n_before + n) * (1 - (good_before + good) / (n_before + n)) * (1 / n_before + 1 / n))
    )],
    arrayMap(
        (name, x, y, a, b) -> (name, y / x - 1, pow(y - x, 2) / (a / n_before + b / n)),
        ['cost per run', 'tool calls per run', 'duration'], mean_before, mean, variance_before, variance)
) AS compared
WHERE place > 1
  AND first_at >= $__toTime - INTERVAL 1 DAY
  AND least(n_before, n) >= 20
  AND compared.3 > 10.83 -- p = 0.001
  AND isFinite(compared.2)
