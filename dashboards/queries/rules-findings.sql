-- title: Findings by rule
-- description: >-
--   What each rule found, what it called for, what repetitions cost, and whether it was right:
--   `agentrun feedback RUN_ID --name RULE --label false_positive` (or `true_positive`) says so. Many runs that
--   completed well speak against a limit; `agentrun rules backtest FILE --since 7d` tries another one on stored runs.
-- answers: S1.9 S1.18 S1.24 S1.25 S1.26 S3.44 S4.31 S5.43 S5.54 S5.55 S5.80
-- empty: No rule found anything in this period
-- columns:
--   rule: {unit: text, width: 170}
--   kind: {unit: text, width: 80}
--   findings: {unit: short, colored: bar}
--   runs: short
--   flagged: short
--   warned: short
--   paused: short
--   killed: short
--   on_trial: {unit: short, label: On trial}
--   loops_usd: {unit: currencyUSD, decimals: 4, label: Cost of repetitions}
--   runs_usd: {unit: currencyUSD, decimals: 4, label: Cost of the runs}
--   completed_well: {unit: short, label: In runs that went well}
--   judged: short
--   false_positives: short
--   false_share: {unit: percentunit, colored: bad, decimals: 1, label: Share of false ones}
--   last_at: {unit: time, label: Last}
--   rules_versions: text
WITH
    found AS
    (
        SELECT
            RunId,
            if(mapContains(Attributes, 'agentrun.finding.id'), Attributes['agentrun.finding.id'], EventId) AS id,
            argMax(Timestamp, (toUInt64OrZero(Attributes['agentrun.finding.revision']), Timestamp, EventId)) AS at,
            argMax(Attributes, (toUInt64OrZero(Attributes['agentrun.finding.revision']), Timestamp, EventId)) AS said
        FROM $database.agent_events
        WHERE $__timeFilter(Timestamp)
          AND Name = 'agentrun.finding'
        GROUP BY RunId, id
        HAVING NOT mapContains(said, 'agentrun.finding.withdrawn')
    ),
    mine AS
    (
        SELECT
            RunId, RootRunId, AgentName, WorkflowName, TaskType, Status, Outcome, StopReason,
            CostUsd AS run_usd
        FROM $database.runs
        WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
          AND $each_run_filters
    ),
    -- Feedback under the name of a rule judges what that rule found in the run; the newest one counts.
    judged AS
    (
        SELECT RunId, Name AS rule, argMax(Label, (Timestamp, EventId)) AS verdict
        FROM $database.agent_feedback
        WHERE Timestamp >= $__fromTime - INTERVAL 1 DAY
          AND Label IN ('false_positive', 'true_positive')
        GROUP BY RunId, rule
    )
SELECT
    found.said['agentrun.finding.rule'] AS rule,
    any(found.said['agentrun.finding.kind']) AS kind,
    count() AS findings,
    uniqExact(found.RunId) AS runs,
    countIf(found.said['agentrun.finding.action'] = 'flag') AS flagged,
    countIf(found.said['agentrun.finding.action'] = 'warn') AS warned,
    countIf(found.said['agentrun.finding.action'] = 'pause') AS paused,
    countIf(found.said['agentrun.finding.action'] = 'kill') AS killed,
    countIf(mapContains(found.said, 'agentrun.finding.dry_run')) AS on_trial,
    sum(toFloat64OrZero(found.said['agentrun.finding.cost_usd'])) AS loops_usd,
    sum(mine.run_usd) AS runs_usd,
    countIf(mine.Status = 'completed' AND mine.Outcome = 'success') AS completed_well,
    countIf(judged.verdict != '') AS judged,
    countIf(judged.verdict = 'false_positive') AS false_positives,
    false_positives / nullIf(judged, 0) AS false_share,
    max(found.at) AS last_at,
    arrayStringConcat(groupUniqArray(3)(found.said['agentrun.rules.version']), ', ') AS rules_versions
FROM found
ANY INNER JOIN mine ON mine.RunId = found.RunId
ANY LEFT JOIN judged ON judged.RunId = found.RunId AND judged.rule = found.said['agentrun.finding.rule']
GROUP BY rule
ORDER BY findings DESC
LIMIT 200
