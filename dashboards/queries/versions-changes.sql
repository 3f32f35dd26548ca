-- title: Before and after
-- description: >-
--   Each version against the one that the same agent had before it (the order is that of their first
--   runs in the period), over runs that ended. p is how likely such a difference is by chance: a
--   z-test for shares, Welch's t-test for means, a z-test of the ratio for cost
--   per success. "worse" and "better" need p below 0.01 and 20 runs on both sides; of many rows,
--   one in a hundred would be called so by chance.
-- answers: S4.19 S4.33 S5.57 S5.65 S5.82 S3.45
-- empty: No agent had two versions of this kind in the period; widen it, or compare another kind
-- dimensions: versions
-- columns:
--   changed: {unit: time, label: First run after, width: 180}
--   agent: {unit: text, link: "runs:agent"}
--   subject: {unit: text, label: Of}
--   before: text
--   after: text
--   measure: {unit: text, width: 170}
--   value_before: {unit: short, label: Before it}
--   value_after: {unit: short, label: After it}
--   change: {unit: percentunit, decimals: 0}
--   p: {unit: short, decimals: 4, label: p}
--   verdict: {unit: text, colored: word}
--   runs_before: short
--   runs_after: short
WITH
    ended AS
    (
        SELECT
            AgentName AS agent,
            ${by:raw} AS version,
            StartTime,
            Status = 'completed' AS success,
            $complaint AS complained,
            $level.CostUsd AS cost,
            DurationMs / 1000 AS secs,
            $level.Steps AS steps,
            $level.ModelCalls AS model_calls,
            $level.ToolCalls AS tool_calls,
            $level.Retries AS retries,
            $level.InputTokens + $level.OutputTokens AS tokens
        FROM $database.runs
        WHERE $__timeFilter(StartTime)
          AND Status NOT IN ('initiated', 'running', 'paused')
          AND $run_filters
    ),
    versions AS
    (
        SELECT
            agent,
            version.1 AS subject,
            version.2 AS after,
            min(StartTime) AS first_at,
            count() AS n,
            countIf(success) AS good,
            countIf(complained) AS complaints,
            [avg(cost), avg(secs), avg(steps), avg(model_calls), avg(tool_calls), avg(retries), avg(tokens)] AS mean,
            [
                varSamp(cost), varSamp(secs), varSamp(steps), varSamp(model_calls), varSamp(tool_calls),
                varSamp(retries), varSamp(tokens)
            ] AS variance,
            sum(cost) / nullIf(good, 0) AS per_success,
            -- Variance of the ratio of two means (delta method).
            (varSamp(cost) - 2 * per_success * covarSamp(cost, success) + pow(per_success, 2) * varSamp(success))
                / n / nullIf(pow(good / n, 2), 0) AS per_success_variance
        FROM ended
        GROUP BY agent, subject, after
    ),
    pairs AS
    (
        SELECT
            *,
            row_number() OVER w AS place,
            lagInFrame(after) OVER w AS before,
            lagInFrame(n) OVER w AS n_before,
            lagInFrame(good) OVER w AS good_before,
            lagInFrame(complaints) OVER w AS complaints_before,
            lagInFrame(mean) OVER w AS mean_before,
            lagInFrame(variance) OVER w AS variance_before,
            lagInFrame(per_success) OVER w AS per_success_before,
            lagInFrame(per_success_variance) OVER w AS per_success_variance_before
        FROM versions
        WINDOW w AS (PARTITION BY agent, subject ORDER BY first_at, after ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    )
SELECT
    first_at AS changed,
    agent,
    subject,
    before,
    after,
    compared.1 AS measure,
    compared.2 AS value_before,
    compared.3 AS value_after,
    value_after / nullIf(value_before, 0) - 1 AS change,
    -- Groups without any variance have no statistic: they differ, or they do not.
    multiIf(NOT isNaN(compared.4), compared.4, least(n_before, n) < 2, NULL, toFloat64(value_before = value_after)) AS p,
    multiIf(
        least(n_before, n) < 20, 'too few runs',
        p >= 0.01 OR p IS NULL, 'no difference',
        (value_after > value_before) = (measure = 'success, %'), 'better', 'worse') AS verdict,
    n_before AS runs_before,
    n AS runs_after
FROM pairs
ARRAY JOIN arrayConcat(
    [
        ('success, %', good_before / n_before * 100, good / n * 100,
            erfc(abs(good / n - good_before / n_before) / sqrt((good_before + good) / (n_before + n) * (1 - (good_before + good) / (n_before + n)) * (1 / n_before + 1 / n)) / sqrt(2))),
        ('complaints, %', complaints_before / n_before * 100, complaints / n * 100,
            erfc(abs(complaints / n - complaints_before / n_before) / sqrt((complaints_before + complaints) / (n_before + n) * (1 - (complaints_before + complaints) / (n_before + n)) * (1 / n_before + 1 / n)) / sqrt(2))),
        ('cost per success, USD', per_success_before, per_success,
            erfc(abs(per_success - per_success_before) / sqrt(per_success_variance + per_success_variance_before) / sqrt(2)))
    ],
    arrayMap(
        (name, earlier, later, squared, df) -> (
            name, earlier, later,
            -- Welch's t with its degrees of freedom, as the normal deviate of the same p (Wallace 1959).
            erfc((8 * df + 1) / (8 * df + 3) * sqrt(df * log1p(squared / df)) / sqrt(2))),
        ['cost per run, USD', 'duration, s', 'steps', 'model calls', 'tool calls', 'retries', 'tokens'],
        mean_before, mean,
        arrayMap((x, y, a, b) -> pow(x - y, 2) / (a / n_before + b / n), mean_before, mean, variance_before, variance),
        arrayMap(
            (a, b) -> pow(a / n_before + b / n, 2) / (pow(a / n_before, 2) / (n_before - 1) + pow(b / n, 2) / (n - 1)),
            variance_before, variance))
) AS compared
WHERE place > 1
ORDER BY changed DESC, agent, subject, after, measure = 'success, %' DESC, measure
LIMIT 1000
