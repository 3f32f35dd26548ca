-- title: Cost and revenue by kind over time
-- description: What models, tools and payments cost, beside what was earned, by the time a run started.
-- answers: S2.16 S2.29 S3.21
-- columns:
--   time: time
--   models_usd: {unit: currencyUSD, label: Models}
--   tools_usd: {unit: currencyUSD, label: Tools}
--   payments_usd: {unit: currencyUSD, label: Payments}
--   revenue_usd: {unit: currencyUSD, label: Revenue}
SELECT
    $__timeInterval(StartTime) AS time,
    sum($level.ModelCostNanoUsd) / 1e9 AS models_usd,
    sum($level.ToolCostNanoUsd) / 1e9 AS tools_usd,
    sum($level.PaymentCostNanoUsd) / 1e9 AS payments_usd,
    sum($level.RevenueNanoUsd) / 1e9 AS revenue_usd
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY time
ORDER BY time
