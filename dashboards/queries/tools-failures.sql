-- title: Failed runs by cause
-- description: >-
--   Causes told apart by what happened in the run, the first that fits: limits and people, then
--   permissions, a retry that failed as well, timeouts, mistakes of the model, and the step at fault.
--   The versions are those that most of these runs had; the dashboard Versions compares them with
--   others.
-- answers: S3.28 S3.30 S4.34
-- empty: No run failed in this period
-- columns:
--   cause: {unit: text, width: 220}
--   runs: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1, label: Share of failed runs}
--   agent: {unit: text, label: Agent most affected}
--   error: {unit: text, label: Most frequent error}
--   prompt: {unit: text, label: "Prompt, version"}
--   route: {unit: text, label: Route config version}
--   app: {unit: text, label: Application version}
--   cost_usd: currencyUSD
--   run_id: {unit: text, label: Last run, link: run}
WITH failed AS
(
    SELECT
        RunId, ErrorSpanId, ErrorType, StopReason, FailureMode, AgentName, StartTime, PromptVersions,
        RouteConfigVersion, AppVersion, has(`Findings.Kind`, 'loop') AS Looped, $level.CostUsd AS cost
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND Status IN ('failed', 'killed', 'timed_out')
      AND $run_filters
)
SELECT
    multiIf(
        StopReason IN ('killed', 'cancelled'), 'stopped by a person or the caller',
        StopReason = 'lost', 'lost: it stopped telling anything',
        StopReason IN ('policy', 'rejected', 'approval_expired'), 'policy or approval',
        startsWith(StopReason, 'budget_'), 'budget',
        Looped OR StopReason IN ('loop_detected', 'max_iterations'), 'going in circles',
        failed.ErrorType = 'auth_error', 'permission',
        fault.IsRetry, concat(fault.Kind, ': the retry failed as well'),
        FailureMode = 'timeout', concat(fault.Kind, ' timeout'),
        failed.ErrorType IN ('validation_error', 'malformed_call', 'unknown_tool', 'output_parse_error'), 'mistake of the model',
        FailureMode = '', 'not told',
        replaceAll(FailureMode, '_', ' ')) AS cause,
    count() AS runs,
    runs / sum(runs) OVER () AS share,
    topK(1)(failed.AgentName)[1] AS agent,
    topKIf(1)(failed.ErrorType, failed.ErrorType != '')[1] AS error,
    topKArray(1)(arrayMap((name, version) -> concat(name, ' ', version), mapKeys(PromptVersions), mapValues(PromptVersions)))[1] AS prompt,
    topKIf(1)(RouteConfigVersion, RouteConfigVersion != '')[1] AS route,
    topKIf(1)(AppVersion, AppVersion != '')[1] AS app,
    sum(failed.cost) AS cost_usd,
    argMax(failed.RunId, failed.StartTime) AS run_id
FROM failed
LEFT JOIN
(
    SELECT RunId, SpanId, toString(Kind) AS Kind, (RetryOf != '' OR EmittedAttempt > 1) AS IsRetry
    FROM $database.agent_steps
    WHERE Timestamp >= $__fromTime AND Timestamp <= $__toTime + INTERVAL 1 DAY
      AND SpanId IN (SELECT ErrorSpanId FROM failed)
    ORDER BY Version DESC
    LIMIT 1 BY RunId, SpanId
) AS fault ON fault.RunId = failed.RunId AND fault.SpanId = failed.ErrorSpanId
GROUP BY cause
ORDER BY runs DESC
