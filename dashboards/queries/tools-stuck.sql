-- title: Where runs get stuck
-- description: >-
--   The last step of each run that did not end well, by agent: there it stopped, gave up or was
--   stopped. "Times in the run" is how often that run had done the same step: many means going in
--   circles.
-- answers: S1.31 S3.30 S3.32 S5.34
-- empty: No run got stuck in this period
-- columns:
--   agent: {unit: text, width: 180, link: "runs:agent"}
--   kind: {unit: text, width: 90}
--   step: {unit: text, label: Last step, width: 200}
--   runs: {unit: short, colored: bar}
--   share: {unit: percentunit, decimals: 1, label: Share of the agent's}
--   times: {unit: short, decimals: 1, label: Times in the run}
--   duration_p50_ms: {unit: ms, label: Time in it}
--   failed_share: {unit: percentunit, decimals: 1, colored: bad, label: Step itself failed}
--   stop_reason: {unit: text, label: Most frequent stop reason}
--   run_id: {unit: text, label: Last run, link: run}
WITH stuck AS
(
    SELECT RunId, AgentName, StopReason, StartTime
    FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND Status IN ('failed', 'killed', 'timed_out')
      AND $run_filters
)
SELECT
    stuck.AgentName AS agent,
    last.1 AS kind,
    last.2 AS step,
    count() AS runs,
    runs / sum(runs) OVER (PARTITION BY agent) AS share,
    avg(last.3) AS times,
    quantile(0.5)(last.4) AS duration_p50_ms,
    avg(last.5) AS failed_share,
    topK(1)(stuck.StopReason)[1] AS stop_reason,
    argMax(stuck.RunId, stuck.StartTime) AS run_id
FROM stuck
INNER JOIN
(
    SELECT RunId, argMax((kind, step, times, duration_ms, failed), (latest, kind)) AS last
    FROM
    (
        SELECT
            RunId,
            Kind AS kind,
            if(ToolName != '', ToolName, if(Model != '', Model, Name)) AS step,
            count() AS times,
            max(Timestamp) AS latest,
            sum(DurationMs) AS duration_ms,
            argMax(Status, Timestamp) IN ('error', 'timeout') AS failed
        FROM $database.steps
        WHERE Timestamp >= $__fromTime AND Timestamp <= $__toTime + INTERVAL 1 DAY
          AND Counted AND Kind != 'run'
          AND RunId IN (SELECT RunId FROM stuck)
        GROUP BY RunId, kind, step
    )
    GROUP BY RunId
) AS steps ON steps.RunId = stuck.RunId
GROUP BY agent, kind, step
ORDER BY runs DESC
LIMIT 200
