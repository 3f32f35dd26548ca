-- title: Fallbacks and escalations
-- description: Share of runs in which something fell back to another model or route, was escalated, handed on, throttled, or put before a person.
-- answers: S3.17 S4.27 S5.64 S2.14
-- empty: No decision was reported in this period
-- columns:
--   decision: {unit: text, width: 160}
--   runs: {unit: short, colored: bar}
--   share_of_runs: {unit: percentunit, decimals: 1}
--   decisions: short
WITH
(
    SELECT count() FROM $database.runs
    WHERE $__timeFilter(StartTime)
      AND $run_filters
) AS all_runs
SELECT
    Attributes['agentrun.decision.kind'] AS decision,
    uniqExact(RunId) AS runs,
    runs / nullIf(all_runs, 0) AS share_of_runs,
    count() AS decisions
FROM $database.agent_events
WHERE $__timeFilter(Timestamp)
  AND Name = 'agentrun.decision'
  AND decision IN ('fallback', 'escalate', 'handoff', 'throttle', 'approval', 'route', 'policy')
  AND RunId IN
  (
      SELECT RunId FROM $database.runs
      WHERE $__timeFilter(StartTime)
        AND $run_filters
  )
GROUP BY decision
ORDER BY runs DESC
