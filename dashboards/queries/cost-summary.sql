-- title: Cost at a glance
-- description: >-
--   What was spent, for what, and what one run and one success of it cost. Money is what has a known
--   price; `unknown` is the share of runs in which a part has none, so that they cost more than is said.
-- answers: S1.27 S1.33 S2.29 S2.30 S3.7 S3.21 S3.23 S3.27 S5.39 S5.61
-- dimensions: owners
-- columns:
--   dimension: {unit: text, label: Group, width: 200, link: "runs:by"}
--   cost_usd: {unit: currencyUSD, colored: bar}
--   share: {unit: percentunit, decimals: 1, label: Share of cost}
--   runs: short
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   cost_per_success_usd: {unit: currencyUSD, decimals: 4, label: Cost per successful run}
--   cost_p95_usd: {unit: currencyUSD, decimals: 4, label: p95 cost}
--   models_usd: {unit: currencyUSD, label: For models}
--   tools_usd: {unit: currencyUSD, label: For tools}
--   payments_usd: {unit: currencyUSD, label: Paid}
--   revenue_usd: {unit: currencyUSD, label: Revenue}
--   input_tokens: short
--   output_tokens: short
--   cached_share: {unit: percentunit, decimals: 1, label: Input from cache}
--   running_secs: {unit: s, label: Time without pauses}
--   unknown_share: {unit: percentunit, colored: bad, decimals: 1, label: Unknown price}
SELECT
    ${by:raw} AS dimension,
    sum($level.CostUsd) AS cost_usd,
    cost_usd / nullIf(sum(cost_usd) OVER (), 0) AS share,
    count() AS runs,
    cost_usd / runs AS cost_per_run_usd,
    cost_usd / nullIf(countIf(Status = 'completed'), 0) AS cost_per_success_usd,
    quantile(0.95)($level.CostUsd) AS cost_p95_usd,
    sum($level.ModelCostNanoUsd) / 1e9 AS models_usd,
    sum($level.ToolCostNanoUsd) / 1e9 AS tools_usd,
    sum($level.PaymentCostNanoUsd) / 1e9 AS payments_usd,
    sum($level.RevenueNanoUsd) / 1e9 AS revenue_usd,
    sum($level.InputTokens) AS input_tokens,
    sum($level.OutputTokens) AS output_tokens,
    sum($level.CacheReadTokens) / nullIf(input_tokens, 0) AS cached_share,
    sum(greatest(DurationNs - PausedNs, 0)) / 1e9 AS running_secs,
    countIf($level.CostConfidence = 'unknown') / runs AS unknown_share
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY dimension
ORDER BY cost_usd DESC, runs DESC
LIMIT 500
