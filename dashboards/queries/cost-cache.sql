-- title: What caching of prompts saved
-- description: >-
--   Input that was read from the providers' caches, and what it would have cost beyond what it did. Rates
--   are what the calls' own costs imply: they are said only where they explain every call to a
--   thousandth (five calls or more, none repriced in between). What writing to a cache cost is not subtracted.
-- answers: S3.21 S3.23
-- columns:
--   model: {unit: text, width: 220}
--   calls: short
--   input_tokens: short
--   cached_tokens: short
--   cached_share: {unit: percentunit, decimals: 1, label: From cache}
--   hits: {unit: percentunit, decimals: 1, label: Calls with a hit}
--   cost_usd: {unit: currencyUSD, label: Cost of the calls}
--   saved_usd: {unit: currencyUSD, colored: bar, label: Saved, decimals: 4}
--   input_rate_usd: {unit: currencyUSD, label: Input per M tokens, decimals: 3}
--   cached_rate_usd: {unit: currencyUSD, label: Cached per M tokens, decimals: 3}
SELECT
    model, calls, input_tokens, cached_tokens, cached_tokens / nullIf(input_tokens, 0) AS cached_share,
    with_hit / calls AS hits, total_usd AS cost_usd,
    multiIf(cached_tokens = 0, 0, explained, (input - cached) * cached_tokens / 1e6, NULL) AS saved_usd,
    if(explained, input, NULL) AS input_rate_usd,
    if(explained, cached, NULL) AS cached_rate_usd
FROM
(
    -- Least squares of cost over fresh input f, cached input c and output o; solved by Cramer's rule.
    SELECT
        *,
        ff * (cc * oo - co * co) - fc * (fc * oo - co * xo) + xo * (fc * co - cc * xo) AS volume,
        (fu * (cc * oo - co * co) - fc * (cu * oo - co * ou) + xo * (cu * co - cc * ou)) / volume AS input,
        (ff * (cu * oo - co * ou) - fu * (fc * oo - co * xo) + xo * (fc * ou - cu * xo)) / volume AS cached,
        (ff * (cc * ou - cu * co) - fc * (fc * ou - cu * xo) + fu * (fc * co - cc * xo)) / volume AS output,
        fitted > 4 AND volume > 1e-9 * ff * cc * oo
            AND abs(uu - input * fu - cached * cu - output * ou) < 1e-6 * uu AS explained
    FROM
    (
        SELECT
            model,
            count() AS calls, sum(all_input) AS input_tokens, sum(from_cache) AS cached_tokens,
            countIf(c > 0) AS with_hit, sum(u) AS total_usd,
            countIf(fits) AS fitted,
            sumIf(f * f, fits) AS ff, sumIf(f * c, fits) AS fc, sumIf(f * o, fits) AS xo,
            sumIf(c * c, fits) AS cc, sumIf(c * o, fits) AS co, sumIf(o * o, fits) AS oo,
            sumIf(f * u, fits) AS fu, sumIf(c * u, fits) AS cu, sumIf(o * u, fits) AS ou,
            sumIf(u * u, fits) AS uu
        FROM
        (
            SELECT
                Model AS model,
                coalesce(InputTokens, 0) AS all_input,
                coalesce(CacheReadTokens, 0) AS from_cache,
                from_cache / 1e6 AS c,
                greatest(all_input - from_cache, 0) / 1e6 AS f,
                coalesce(OutputTokens, 0) / 1e6 AS o,
                coalesce(CostUsd, 0) AS u,
                CostConfidence = 'exact' AND coalesce(CacheWriteTokens, 0) = 0 AS fits
            FROM $database.steps
            WHERE $__timeFilter(Timestamp)
              AND Kind = 'model'
              AND Counted
              AND HasUsage
              AND $step_filters
        )
        GROUP BY model
    )
)
WHERE input_tokens > 0
ORDER BY cached_tokens DESC
LIMIT 200
