-- title: Revenue and margin
-- description: >-
--   What runs earned and cost, for groups that report revenue (`run.payment(5, "revenue")`). The margin
--   counts all of a group's cost, that of runs without revenue too.
-- answers: S2.16 S2.29 S3.23
-- empty: No revenue was reported in this period (docs/sdk.md, `payment`)
-- dimensions: owners
-- columns:
--   dimension: {unit: text, label: Group, width: 200, link: "runs:by"}
--   runs: short
--   paying: {unit: short, label: Runs with revenue}
--   revenue_usd: currencyUSD
--   cost_usd: currencyUSD
--   margin_usd: {unit: currencyUSD, colored: bar}
--   margin: {unit: percentunit, decimals: 1}
--   revenue_per_run_usd: {unit: currencyUSD, decimals: 4}
--   cost_per_run_usd: {unit: currencyUSD, decimals: 4}
--   losing: {unit: short, label: Runs at a loss}
SELECT
    ${by:raw} AS dimension,
    count() AS runs,
    countIf($level.RevenueNanoUsd > 0) AS paying,
    sum($level.RevenueNanoUsd) / 1e9 AS revenue_usd,
    sum($level.CostUsd) AS cost_usd,
    revenue_usd - cost_usd AS margin_usd,
    margin_usd / nullIf(revenue_usd, 0) AS margin,
    revenue_usd / runs AS revenue_per_run_usd,
    cost_usd / runs AS cost_per_run_usd,
    countIf($level.CostUsd > $level.RevenueNanoUsd / 1e9) AS losing
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY dimension
HAVING revenue_usd > 0
ORDER BY margin_usd DESC
LIMIT 200
