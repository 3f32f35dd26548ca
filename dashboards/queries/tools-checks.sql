-- title: Checks and what they found
-- description: >-
--   Guardrails, schema checks, policies and evaluations by name, and tool arguments that were checked:
--   how often each failed, of the newest 5,000 checks and 5,000 tool calls of the period. A check that
--   fails is no failed step: it did its work.
-- answers: S4.13 S4.32 S5.19 S5.27 S5.54
-- empty: No check was recorded in this period
-- columns:
--   check: {unit: text, label: "Check", width: 220}
--   sort: {unit: text, label: Kind, width: 120}
--   checks: {unit: short, colored: bar}
--   failed: short
--   warned: short
--   fail_rate: {unit: percentunit, colored: bad, decimals: 1}
--   runs: {unit: short, label: Runs with a failure}
--   explanation: {unit: text, label: Last explanation}
--   run_id: {unit: text, label: Last failure in, link: run}
WITH
    (
        SELECT if(count() = 0, $__toTime, min(hour)) FROM
        (
            SELECT toStartOfHour(Timestamp) AS hour FROM $database.agent_steps
            WHERE $__timeFilter(Timestamp) AND Counted AND Kind = 'validate'
              AND $step_filters
            ORDER BY hour DESC
            LIMIT 5000
        )
    ) AS since_check,
    (
        SELECT if(count() = 0, $__toTime, min(hour)) FROM
        (
            SELECT toStartOfHour(Timestamp) AS hour FROM $database.agent_steps
            WHERE $__timeFilter(Timestamp) AND Counted AND Kind = 'tool'
              AND $step_filters
            ORDER BY hour DESC
            LIMIT 5000
        )
    ) AS since_tool,
    newest AS
    (
        SELECT TraceId, SpanId, Timestamp, RunId, Kind, Status, ErrorMessage, ToolName, Name
        FROM $database.steps
        WHERE $__timeFilter(Timestamp) AND Counted
          AND Timestamp >= least(since_check, since_tool)
          AND ((Kind = 'validate' AND Timestamp >= since_check) OR (Kind = 'tool' AND Timestamp >= since_tool))
          AND $step_filters
        ORDER BY Kind = 'validate' DESC, toStartOfHour(Timestamp) DESC
        LIMIT 10000
    )
SELECT
    if(Kind = 'tool', concat('arguments of ', ToolName), if(rule != '', rule, Name)) AS check,
    if(Kind = 'tool', 'arguments', if(type = '', 'check', type)) AS sort,
    count() AS checks,
    countIf(result = 'fail') AS failed,
    countIf(result = 'warn') AS warned,
    failed / checks AS fail_rate,
    uniqExactIf(RunId, result = 'fail') AS runs,
    argMaxIf(told, Timestamp, result != 'pass') AS explanation,
    argMaxIf(RunId, Timestamp, result != 'pass') AS run_id
FROM
(
    SELECT
        newest.*,
        span.Attributes['agentrun.validation.rule'] AS rule,
        span.Attributes['agentrun.validation.kind'] AS type,
        span.Attributes['agentrun.tool.arguments_valid'] AS fit,
        span.Attributes['agentrun.validation.explanation'] AS reason,
        multiIf(
            Kind = 'tool', if(fit = 'false', 'fail', 'pass'),
            Status IN ('error', 'timeout'), 'fail',
            span.Attributes['agentrun.validation.outcome'] = '', 'pass',
            span.Attributes['agentrun.validation.outcome']) AS result,
        multiIf(reason != '', reason, Kind = 'tool', span.Attributes['agentrun.tool.arguments_error'], ErrorMessage) AS told
    FROM newest
    INNER JOIN
    (
        SELECT TraceId, SpanId, SpanAttributes AS Attributes
        FROM $database.otel_traces
        WHERE $__timeFilter(Timestamp) AND Timestamp >= least(since_check, since_tool)
          AND (TraceId, SpanId) IN
          (
              SELECT TraceId, SpanId FROM $database.agent_steps
              WHERE $__timeFilter(Timestamp) AND Counted
                AND Timestamp >= least(since_check, since_tool)
                AND ((Kind = 'validate' AND Timestamp >= since_check) OR (Kind = 'tool' AND Timestamp >= since_tool))
                AND $step_filters
          )
        LIMIT 1 BY TraceId, SpanId
    ) AS span USING (TraceId, SpanId)
)
WHERE Kind = 'validate' OR fit != ''
GROUP BY check, sort
ORDER BY failed DESC, checks DESC
LIMIT 200
