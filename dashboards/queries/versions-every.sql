-- title: What changed
-- description: >-
--   Every version of any kind that an agent began to use in the period, after another one, and what
--   became of its success, cost and tool calls (mean per run). Choose its kind on top to see all
--   measures and whether a difference is more than chance.
-- answers: S4.19 S4.2 S4.34 S5.65 S5.82
-- empty: No agent changed a version in this period
-- columns:
--   changed: {unit: time, label: First run after, width: 180}
--   agent: {unit: text, link: "runs:agent"}
--   kind: text
--   subject: {unit: text, label: Of}
--   before: text
--   after: text
--   runs_before: short
--   runs_after: short
--   success_before: {unit: percentunit, decimals: 1}
--   success_after: {unit: percentunit, colored: good, decimals: 1}
--   success_p: {unit: short, decimals: 4, label: p}
--   cost_before_usd: {unit: currencyUSD, decimals: 4, label: Cost per run before}
--   cost_after_usd: {unit: currencyUSD, decimals: 4, label: Cost per run after}
--   tool_calls_before: {unit: short, decimals: 1}
--   tool_calls_after: {unit: short, decimals: 1}
--   duration_before_ms: {unit: ms, label: Duration before}
--   duration_after_ms: {unit: ms, label: Duration after}
WITH versions AS
(
    SELECT
        AgentName AS agent,
        $every_version AS version,
        min(StartTime) AS first_at,
        count() AS n,
        countIf(Status = 'completed') AS good,
        [avg($level.CostUsd), avg($level.ToolCalls), avg(DurationMs)] AS mean
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND Status NOT IN ('initiated', 'running', 'paused')
      AND $run_filters
    GROUP BY agent, version
)
SELECT
    first_at AS changed,
    agent,
    version.1 AS kind,
    version.2 AS subject,
    before,
    version.3 AS after,
    n_before AS runs_before,
    n AS runs_after,
    good_before / n_before AS success_before,
    good / n AS success_after,
    if(good_before + good IN (0, n_before + n), 1, erfc(abs(good / n - good_before / n_before) / sqrt((good_before + good) / (n_before + n) * (1 - (good_before + good) / (n_before + n)) * (1 / n_before + 1 / n)) / sqrt(2))) AS success_p,
    mean_before[1] AS cost_before_usd,
    mean[1] AS cost_after_usd,
    mean_before[2] AS tool_calls_before,
    mean[2] AS tool_calls_after,
    mean_before[3] AS duration_before_ms,
    mean[3] AS duration_after_ms
FROM
(
    SELECT
        *,
        row_number() OVER w AS place,
        lagInFrame(version.3) OVER w AS before,
        lagInFrame(n) OVER w AS n_before,
        lagInFrame(good) OVER w AS good_before,
        lagInFrame(mean) OVER w AS mean_before
    FROM versions
    WINDOW w AS (PARTITION BY agent, version.1, version.2 ORDER BY first_at, version.3 ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
)
WHERE place > 1
ORDER BY changed DESC, agent, kind, subject
LIMIT 300
