-- title: Forecast of the month
-- description: >-
--   What was spent today and this month (UTC), and what the month comes to at the pace of the last seven
--   days, whatever the period on top. A group that is younger than that is judged by the time since its
--   first run.
-- answers: S2.15 S2.30 S3.23
-- dimensions: owners
-- columns:
--   dimension: {unit: text, label: Group, width: 200, link: "runs:by"}
--   today_usd: currencyUSD
--   month_usd: {unit: currencyUSD, label: This month}
--   pace_usd: {unit: currencyUSD, label: Per day}
--   forecast_usd: {unit: currencyUSD, label: Forecast of the month, colored: bar}
--   before_usd: {unit: currencyUSD, label: Month before}
--   change: {unit: percentunit, decimals: 0, label: Forecast against it}
WITH
    toDateTime(toStartOfMonth(toTimeZone($__toTime, 'UTC')), 'UTC') AS month_began,
    toDateTime(toStartOfMonth(toTimeZone($__toTime, 'UTC')) + INTERVAL 1 MONTH, 'UTC') AS month_ends
SELECT
    ${by:raw} AS dimension,
    sumIf($level.CostUsd, StartTime >= toStartOfDay(toTimeZone($__toTime, 'UTC'))) AS today_usd,
    sumIf($level.CostUsd, StartTime >= month_began) AS month_usd,
    sumIf($level.CostUsd, StartTime >= $__toTime - INTERVAL 7 DAY)
        / greatest(1, least(7, dateDiff('second', min(StartTime), $__toTime) / 86400)) AS pace_usd,
    month_usd + pace_usd * dateDiff('second', $__toTime, month_ends) / 86400 AS forecast_usd,
    sumIf($level.CostUsd, StartTime < month_began) AS before_usd,
    forecast_usd / nullIf(before_usd, 0) - 1 AS change
FROM $database.runs
WHERE StartTime >= month_began - INTERVAL 1 MONTH AND StartTime <= $__toTime
  AND $run_filters
GROUP BY dimension
ORDER BY forecast_usd DESC
LIMIT 200
