-- title: Cost and tokens as they added up
-- description: Running totals at the end of each step, child runs included, beside the tightest limit of a cost and of a token budget.
-- answers: S1.5 S1.19 S1.20 S1.21 S2.15 S2.29 S5.38 S5.39
-- empty: No step of this run has tokens or a price
-- columns:
--   after_start_secs: {unit: s, label: After start}
--   cost_usd: currencyUSD
--   cost_budget_usd: {unit: currencyUSD, label: Cost budget}
--   tokens: short
--   token_budget: short
WITH
    run AS
    (
        SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
    ),
    (SELECT min(StartTime) FROM run) AS began,
    (SELECT max(if(EndTime > StartTime, EndTime, now64(9))) + INTERVAL 1 DAY FROM run) AS over,
    (SELECT arrayMin(arrayFilter((limit, kind) -> kind = 'cost_usd', `Budgets.Limit`, `Budgets.Kind`)) FROM run) AS cost_limit,
    (SELECT arrayMin(arrayFilter((limit, kind) -> kind = 'tokens', `Budgets.Limit`, `Budgets.Kind`)) FROM run) AS token_limit
SELECT
    (toUnixTimestamp64Nano(EndTime) - toUnixTimestamp64Nano(began)) / 1e9 AS after_start_secs,
    sum(coalesce(CostUsd, 0) + PaymentNanoUsd / 1e9) OVER totals AS cost_usd,
    nullIf(cost_limit, 0) AS cost_budget_usd,
    sum(coalesce(InputTokens, 0) + coalesce(OutputTokens, 0)) OVER totals AS tokens,
    nullIf(token_limit, 0) AS token_budget
FROM $database.steps
WHERE Timestamp >= began - INTERVAL 1 SECOND AND Timestamp <= over
  AND TraceId IN (SELECT arrayJoin(TraceIds) FROM run)
  AND Counted
  AND RunId IN
  (
      SELECT RunId FROM $database.runs
      WHERE StartTime >= began - INTERVAL 1 DAY
        AND (RunId = ${run:sqlstring} OR RootRunId = ${run:sqlstring})
  )
WINDOW totals AS (ORDER BY EndTime, SpanId)
ORDER BY after_start_secs
LIMIT 5000
