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
    families AS
    (
        SELECT
            RootRunId,
            mapFromArrays(groupArray(RunId), groupArray((agent, failed))) AS known,
            groupArrayIf((ParentRunId, agent, Status, DurationMs, CostUsd, toString(Trigger)), NOT is_root) AS children
        FROM
        (
            SELECT
                *,
                multiIf(AgentName != '', AgentName, WorkflowName != '', WorkflowName, ServiceName != '', ServiceName, 'unnamed') AS agent,
                Status IN ('failed', 'killed', 'timed_out') AS failed,
                ParentRunId = '' AS is_root
            FROM $database.runs
            WHERE StartTime >= $__fromTime AND StartTime <= $__toTime + INTERVAL 1 DAY
              AND RootRunId IN
              (
                  SELECT RunId
                  FROM $database.runs
                  WHERE $__timeFilter(StartTime)
                    AND ParentRunId = ''
                    AND notEmpty(ChildRunIds)
                    AND $run_filters
              )
        )
        GROUP BY RootRunId
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
        known[child.1].1 AS source,
        child.2 AS target,
        count() AS runs,
        countIf(child.3 = 'completed') AS completed,
        countIf(child.3 NOT IN ('initiated', 'running', 'paused')) AS ended,
        countIf(child.3 IN ('failed', 'killed', 'timed_out')) AS broken,
        countIf(child.3 IN ('failed', 'killed', 'timed_out') AND known[child.1].2) AS both,
        quantile(0.5)(child.4) AS p50,
        quantile(0.95)(child.4) AS p95,
        sum(child.4) AS busy,
        sum(child.5) AS cost,
        arrayStringConcat(arraySort(groupUniqArrayIf(child.6, child.6 != '')), ', ') AS triggers
    FROM families
    ARRAY JOIN children AS child
    WHERE mapContains(known, child.1)
    GROUP BY source, target
)
ORDER BY mainstat DESC, id
LIMIT 1000
