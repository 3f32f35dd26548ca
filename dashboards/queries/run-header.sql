-- title: The run
-- description: What became of it, how long it took, what it used and cost. A number "in all" includes its child runs.
-- answers: S1.5 S1.6 S1.7 S3.5 S3.6 S3.7 S3.8 S3.21 S5.35 S5.36 S5.37 S5.38 S5.39 S5.40 S5.77
-- empty: No run has this id; it may be in another database, or past its retention
-- columns:
--   status: {unit: text, colored: word}
--   outcome: {unit: text, colored: word}
--   duration_ms: {unit: ms, label: Duration}
--   cost_usd: {unit: currencyUSD, label: Cost in all, decimals: 4}
--   steps: {unit: short, label: Steps in all}
--   model_calls: {unit: short, label: Model calls in all}
--   tool_calls: {unit: short, label: Tool calls in all}
--   retrievals: {unit: short, label: Retrievals in all}
--   retries: {unit: short, label: Retries in all}
--   input_tokens: {unit: short, label: Input tokens in all}
--   output_tokens: {unit: short, label: Output tokens in all}
--   own_cost_usd: {unit: currencyUSD, label: Own cost, decimals: 4}
--   findings: {unit: short, label: Findings}
SELECT
    Status AS status, Outcome AS outcome, DurationMs AS duration_ms, CostUsdTotal AS cost_usd,
    StepsTotal AS steps, ModelCallsTotal AS model_calls, ToolCallsTotal AS tool_calls,
    RetrievalsTotal AS retrievals, RetriesTotal AS retries, InputTokensTotal AS input_tokens,
    OutputTokensTotal AS output_tokens, CostUsd AS own_cost_usd, length(`Findings.Rule`) AS findings
FROM $database.runs
WHERE RunId = ${run:sqlstring}
ORDER BY Version DESC
LIMIT 1
