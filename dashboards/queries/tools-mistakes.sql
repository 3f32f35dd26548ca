-- title: Validation failures
-- description: >-
--   Calls with arguments that do not fit, to tools that do not exist, or with answers that cannot be
--   read: mistakes of the model, by what it tried to call. Put the names of the fields in the tool's
--   description, or the schema in the prompt.
-- answers: S3.28 S3.44 S4.32 S5.27 S5.29
-- empty: No call or answer was refused in this period
-- columns:
--   kind: {unit: text, width: 90}
--   step: {unit: text, label: Tool or step, width: 200}
--   error: {unit: text, width: 160}
--   failures: {unit: short, colored: bar}
--   share_of_calls: {unit: percentunit, colored: bad, decimals: 1}
--   share: {unit: percentunit, decimals: 1, label: Share of all of these}
--   runs: short
--   message: {unit: text, label: Last message}
--   run_id: {unit: text, label: Last run, link: run}
SELECT
    kind, step, error, failures, share_of_calls,
    failures / sum(failures) OVER () AS share, runs, message, run_id
FROM
(
    SELECT
        Kind AS kind,
        if(ToolName != '', ToolName, if(Model != '', Model, Name)) AS step,
        if(ErrorType IN ('validation_error', 'malformed_call', 'unknown_tool', 'output_parse_error'), ErrorType, '') AS error,
        count() AS failures,
        failures / sum(failures) OVER (PARTITION BY kind, step) AS share_of_calls,
        uniqExactIf(RunId, error != '') AS runs,
        argMaxIf(ErrorMessage, Timestamp, error != '') AS message,
        argMaxIf(RunId, Timestamp, error != '') AS run_id
    FROM $database.steps
    WHERE $__timeFilter(Timestamp)
      AND Counted AND Kind IN ('model', 'tool', 'retrieve', 'validate', 'plan')
      AND $step_filters
    GROUP BY kind, step, error
)
WHERE error != ''
ORDER BY failures DESC
LIMIT 200
