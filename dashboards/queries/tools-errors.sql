-- title: Typed errors by tool and version
-- description: >-
--   Which tool fails how. "Fatal" is the share of the affected runs that did not end well: a low one
--   means that agents cope with the error.
-- answers: S3.30 S4.34 S5.16 S5.28 S5.29 S5.58 S5.73 S5.75
-- empty: No tool failed in this period
-- columns:
--   tool: {unit: text, width: 180, link: "runs:tool"}
--   version: {unit: text, width: 120}
--   error: {unit: text, width: 150}
--   errors: {unit: short, colored: bar}
--   share_of_calls: {unit: percentunit, colored: bad, decimals: 1}
--   runs: {unit: short, label: Runs affected}
--   fatal: {unit: percentunit, colored: bad, decimals: 1}
--   message: {unit: text, label: Last message}
--   run_id: {unit: text, label: Last run, link: run}
SELECT tool, version, error, errors, share_of_calls, runs, fatal, message, run_id
FROM
(
    SELECT
        ToolName AS tool,
        multiIf(
            Labels['tool_version'] != '', Labels['tool_version'],
            Labels['tool_contract_version'] != '', concat('contracts ', Labels['tool_contract_version']),
            run.ToolContractVersion != '', concat('contracts ', run.ToolContractVersion), 'not told') AS version,
        multiIf(Status NOT IN ('error', 'timeout'), '', ErrorType = '', 'not told', ErrorType) AS error,
        count() AS errors,
        errors / sum(errors) OVER (PARTITION BY tool, version) AS share_of_calls,
        uniqExactIf(RunId, error != '') AS runs,
        uniqExactIf(RunId, error != '' AND RunId IN
        (
            SELECT RunId FROM $database.agent_runs FINAL
            WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
              AND Status IN ('failed', 'killed', 'timed_out')
        )) / nullIf(runs, 0) AS fatal,
        argMaxIf(ErrorMessage, Timestamp, error != '') AS message,
        argMaxIf(RunId, Timestamp, error != '') AS run_id
    FROM $database.steps AS step_
    LEFT JOIN
    (
        SELECT RunId, GroupId, ToolContractVersion
        FROM $database.runs
        WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
          AND ToolContractVersion != ''
    ) AS run USING (RunId, GroupId)
    WHERE $__timeFilter(Timestamp)
      AND Kind = 'tool' AND Counted
      AND $step_filters
    GROUP BY tool, version, error
)
WHERE error != ''
ORDER BY errors DESC
LIMIT 200
