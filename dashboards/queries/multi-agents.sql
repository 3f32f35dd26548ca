-- title: Agents of shared tasks
-- description: >-
--   Each agent with its own part in the tasks of several agents: its own runs, money and steps,
--   without what its children used. Share of time counts only its runs for other agents.
-- answers: S3.36 S5.44 S5.45
-- empty: No task of several agents in this period
-- columns:
--   id: {unit: text, hidden: true}
--   title: {unit: text, label: Agent, width: 200, link: "runs:agent"}
--   subtitle: {unit: text, label: Role}
--   mainstat: {unit: short, label: Runs}
--   secondarystat: {unit: ms, label: p95 duration}
--   arc__completed: {unit: percentunit, colored: good, decimals: 1, label: Success rate}
--   arc__failed: {unit: percentunit, colored: bad, decimals: 1, label: Failure rate}
--   arc__open: {unit: percentunit, decimals: 1, label: Not ended}
--   detail__tasks: {unit: short, label: Tasks}
--   detail__cost_usd: {unit: currencyUSD, label: Own cost, decimals: 4}
--   detail__cost_share: {unit: percentunit, label: Share of cost, decimals: 1}
--   detail__time_share: {unit: percentunit, label: Share of time, decimals: 1}
--   detail__steps: {unit: short, label: Steps per run, decimals: 1}
--   detail__retries: {unit: short, label: Retries per run, decimals: 2}
--   detail__failure: {unit: text, label: Most frequent failure}
SELECT
    name AS id,
    name AS title,
    role AS subtitle,
    runs AS mainstat,
    p95 AS secondarystat,
    completed / runs AS arc__completed,
    broken / runs AS arc__failed,
    (runs - completed - broken) / runs AS arc__open,
    of_tasks AS detail__tasks,
    cost AS detail__cost_usd,
    cost / nullIf(sum(cost) OVER (), 0) AS detail__cost_share,
    busy / nullIf(sum(busy) OVER (), 0) AS detail__time_share,
    steps AS detail__steps,
    retries AS detail__retries,
    failure AS detail__failure
FROM
(
    SELECT
        multiIf(AgentName != '', AgentName, WorkflowName != '', WorkflowName, ServiceName != '', ServiceName, 'unnamed') AS name,
        arrayStringConcat(arraySort(groupUniqArrayIf(3)(toString(AgentRole), AgentRole != '')), ', ') AS role,
        count() AS runs,
        quantile(0.95)(DurationMs) AS p95,
        countIf(Status = 'completed') AS completed,
        countIf(Status IN ('failed', 'killed', 'timed_out')) AS broken,
        uniqExact(RootRunId) AS of_tasks,
        sum(CostUsd) AS cost,
        sumIf(DurationMs, ParentRunId != '') AS busy,
        avg(Steps) AS steps,
        avg(Retries) AS retries,
        topKIf(1)(FailureMode, FailureMode != '')[1] AS failure
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
    GROUP BY name
)
ORDER BY mainstat DESC, id
LIMIT 1500
