-- title: Who starts whom
-- description: >-
--   Runs that an agent started for a task, by the two agents: how often, how well that went, how long
--   it took, what it cost, and how often the one that asked failed as well. A link with a low success
--   rate is where chains break; a high share of time or cost is where they are slow or dear.
-- answers: S3.32 S3.33 S3.34 S3.35 S5.44 S5.47
-- empty: No agent started another one in this period
-- columns:
--   id: {unit: text, hidden: true}
--   source: {unit: text, label: From, width: 180, link: "runs:agent"}
--   target: {unit: text, label: To, width: 180, link: "runs:agent"}
--   mainstat: {unit: short, label: Runs}
--   secondarystat: {unit: percentunit, colored: good, decimals: 1, label: Success rate}
--   detail__failed: {unit: short, label: Failed}
--   detail__both: {unit: short, label: Both failed}
--   detail__p50_ms: {unit: ms, label: p50 duration}
--   detail__p95_ms: {unit: ms, label: p95 duration}
--   detail__time_share: {unit: percentunit, label: Share of time, decimals: 1}
--   detail__cost_usd: {unit: currencyUSD, label: Own cost, decimals: 4}
--   detail__cost_share: {unit: percentunit, label: Share of cost, decimals: 1}
--   detail__trigger: {unit: text, label: Started by}
WITH
    tasks AS
    (
        SELECT RunId, Status, CostUsdTotal, DurationMs
        FROM $database.runs
        WHERE $__timeFilter(StartTime)
          AND ParentRunId = ''
          AND notEmpty(ChildRunIds)
          AND $run_filters
    ),
    members AS
    (
        SELECT
            RunId, RootRunId, ParentRunId, StartTime, Status, StopReason, FailureMode, ErrorType, AgentRole,
            Trigger, DurationMs, CostUsd, Steps, Retries, Handoffs,
            multiIf(AgentName != '', AgentName, WorkflowName != '', WorkflowName, ServiceName != '', ServiceName, 'unnamed') AS agent,
            Status IN ('failed', 'killed', 'timed_out') AS failed
        FROM $database.runs
        WHERE StartTime >= $__fromTime AND StartTime <= $__toTime + INTERVAL 1 DAY
          AND RootRunId IN (SELECT RunId FROM tasks)
    )
SELECT
    concat(source, ' → ', target) AS id,
    source,
    target,
    runs AS mainstat,
    completed / nullIf(ended, 0) AS secondarystat,
    broken AS detail__failed,
    both AS detail__both,
    p50 AS detail__p50_ms,
    p95 AS detail__p95_ms,
    busy / nullIf(sum(busy) OVER (), 0) AS detail__time_share,
    cost AS detail__cost_usd,
    cost / nullIf(sum(cost) OVER (), 0) AS detail__cost_share,
    triggers AS detail__trigger
FROM
(
    SELECT
        parent.agent AS source,
        child.agent AS target,
        count() AS runs,
        countIf(child.Status = 'completed') AS completed,
        countIf(child.Status NOT IN ('initiated', 'running', 'paused')) AS ended,
        countIf(child.failed) AS broken,
        countIf(child.failed AND parent.failed) AS both,
        quantile(0.5)(child.DurationMs) AS p50,
        quantile(0.95)(child.DurationMs) AS p95,
        sum(child.DurationMs) AS busy,
        sum(child.CostUsd) AS cost,
        arrayStringConcat(arraySort(groupUniqArrayIf(toString(child.Trigger), child.Trigger != '')), ', ') AS triggers
    FROM members AS child
    INNER JOIN members AS parent ON parent.RunId = child.ParentRunId
    GROUP BY source, target
)
ORDER BY mainstat DESC, id
LIMIT 1000
