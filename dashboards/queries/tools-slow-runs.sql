-- title: Slow runs by cause
-- description: >-
--   Runs that took at least twice as long as is usual for their agent, and why, the first of: most of
--   the time paused, going in circles, failing calls, a chain twice as long as usual, time between
--   steps, else slow steps. Usual is the agent's median in the period.
-- answers: S3.26 S3.32 S3.45 S4.30
-- empty: No run was slow for its agent
-- columns:
--   cause: {unit: text, width: 180}
--   runs: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1, label: Share of slow runs}
--   times_usual: {unit: short, decimals: 1}
--   duration_p50_ms: {unit: ms, label: p50 duration}
--   duration_max_ms: {unit: ms, label: Longest}
--   failed: {unit: percentunit, decimals: 1, colored: bad, label: Did not end well}
--   agent: {unit: text, label: Agent most affected}
--   run_id: {unit: text, label: Slowest run, link: run}
WITH usual AS
(
    SELECT
        AgentName,
        quantile(0.5)(DurationMs) AS usual_ms,
        quantile(0.5)($level.Steps) AS usual_steps
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND Status NOT IN ('initiated', 'running', 'paused')
      AND $run_filters
    GROUP BY AgentName
)
SELECT
    multiIf(
        PausedNs >= DurationNs / 2, 'paused',
        has(`Findings.Kind`, 'loop') OR StopReason IN ('loop_detected', 'max_iterations'), 'going in circles',
        $level.ToolErrors + $level.ModelErrors + $level.Retries > 0, 'failing calls',
        $level.Steps >= 2 * usual_steps, 'a long chain',
        BusyNs < DurationNs / 2, 'time between steps',
        'slow steps') AS cause,
    count() AS runs,
    runs / sum(runs) OVER () AS share,
    quantile(0.5)(DurationMs / usual_ms) AS times_usual,
    quantile(0.5)(DurationMs) AS duration_p50_ms,
    max(DurationMs) AS duration_max_ms,
    avg(Status IN ('failed', 'killed', 'timed_out')) AS failed,
    topK(1)(AgentName)[1] AS agent,
    argMax(RunId, DurationMs) AS run_id
FROM $database.runs AS run
INNER JOIN usual USING (AgentName)
WHERE $__timeFilter(StartTime)
  AND Status NOT IN ('initiated', 'running', 'paused')
  AND DurationMs >= 2 * usual_ms AND DurationMs > 0
  AND $run_filters
GROUP BY cause
ORDER BY runs DESC
