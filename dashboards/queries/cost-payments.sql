-- title: Payments
-- description: Payments that runs reported, to whom or for what, beside the tokens that are on the bill anyway.
-- answers: S2.7 S2.16 S2.29
-- empty: No payment was reported in this period (docs/sdk.md, `payment`)
-- columns:
--   kind: {unit: text, width: 100}
--   payee: {unit: text, width: 180}
--   payments: short
--   amount_usd: {unit: currencyUSD, colored: bar, label: Amount}
--   mean_usd: {unit: currencyUSD, decimals: 4, label: Mean}
--   runs: short
--   last_at: {unit: time, label: Last}
SELECT
    if(Attributes['agentrun.payment.kind'] = '', 'cost', Attributes['agentrun.payment.kind']) AS kind,
    Attributes['agentrun.payment.payee'] AS payee,
    count() AS payments,
    sum(toFloat64OrZero(Attributes['agentrun.payment.usd'])) AS amount_usd,
    amount_usd / payments AS mean_usd,
    uniqExact(RunId) AS runs,
    max(Timestamp) AS last_at
FROM $database.agent_events FINAL
WHERE $__timeFilter(Timestamp)
  AND Name = 'agentrun.payment'
  AND RunId IN
  (
      SELECT RunId FROM $database.agent_runs
      WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
        AND $run_filters
  )
GROUP BY kind, payee
ORDER BY amount_usd DESC
LIMIT 200
