-- title: Calls without a price
-- description: >-
--   Model calls whose cost is not known, by model and provider. Give a model a price under `prices.models`
--   (docs/prices.md); where no tokens were reported, the sender has to report them.
-- answers: S2.9 S3.7 S3.21
-- empty: Every model call has a price
-- columns:
--   model: {unit: text, width: 220}
--   provider: text
--   why: text
--   calls: {unit: short, colored: bar}
--   share: {unit: percentunit, colored: bad, decimals: 1, label: Share of its calls}
--   share_of_all: {unit: percentunit, decimals: 1, label: Share of all calls}
--   runs: short
--   tokens: {unit: short, label: Tokens without a price}
SELECT
    model, provider, if(told, 'no price is known', 'no tokens were reported') AS why, unpriced AS calls,
    unpriced / model_calls AS share, unpriced / all_calls AS share_of_all, runs, tokens
FROM
(
    SELECT
        Model AS model,
        Provider AS provider,
        count() AS model_calls,
        sum(model_calls) OVER () AS all_calls,
        countIf(CostConfidence = 'unknown') AS unpriced,
        countIf(CostConfidence = 'unknown' AND HasUsage) > 0 AS told,
        uniqExactIf(RunId, CostConfidence = 'unknown') AS runs,
        sumIf(coalesce(InputTokens, 0) + coalesce(OutputTokens, 0), CostConfidence = 'unknown') AS tokens
    FROM $database.steps
    WHERE $__timeFilter(Timestamp)
      AND Kind = 'model'
      AND Counted
      AND $step_filters
    GROUP BY model, provider
)
WHERE unpriced > 0
ORDER BY calls DESC
LIMIT 200
