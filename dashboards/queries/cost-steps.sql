-- title: Cost by step
-- description: >-
--   Which kinds of step, which models, tools and operations the money goes to; each step counts once, with
--   its own cost. What a run paid or was charged as a whole is not in here.
-- answers: S1.32 S2.27 S2.29 S3.21 S5.39
-- dimensions: steps
-- columns:
--   kind: {unit: text, width: 90}
--   dimension: {unit: text, label: Step, width: 240}
--   cost_usd: {unit: currencyUSD, colored: bar}
--   share: {unit: percentunit, decimals: 1, label: Share of cost}
--   steps: short
--   per_step_usd: {unit: currencyUSD, decimals: 5, label: Cost per step}
--   most_usd: {unit: currencyUSD, decimals: 4, label: Dearest step}
--   runs: short
--   input_tokens: short
--   output_tokens: short
--   failed_usd: {unit: currencyUSD, decimals: 4, label: Of which failed}
--   unknown: {unit: short, label: Without a price}
SELECT
    Kind AS kind,
    ${by:raw} AS dimension,
    sum(coalesce(CostUsd, 0) + PaymentNanoUsd / 1e9) AS cost_usd,
    cost_usd / nullIf(sum(cost_usd) OVER (), 0) AS share,
    count() AS steps,
    cost_usd / steps AS per_step_usd,
    max(coalesce(CostUsd, 0) + PaymentNanoUsd / 1e9) AS most_usd,
    uniq(RunId) AS runs,
    sum(InputTokens) AS input_tokens,
    sum(OutputTokens) AS output_tokens,
    sumIf(coalesce(CostUsd, 0) + PaymentNanoUsd / 1e9, Status IN ('error', 'timeout')) AS failed_usd,
    countIf(CostConfidence = 'unknown') AS unknown
FROM $database.steps
WHERE $__timeFilter(Timestamp)
  AND Counted
  AND $step_filters
GROUP BY kind, dimension
ORDER BY cost_usd DESC, steps DESC
LIMIT 200
