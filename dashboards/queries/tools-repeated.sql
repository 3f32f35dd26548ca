-- title: Repetitive calls
-- description: >-
--   The same tool again and again in one run. "Same again" are calls with arguments that the run had
--   used before, retries of failed ones left out; "many variants" are runs that called it five times
--   or more with different arguments. Tools that poll do so by design.
-- answers: S1.25 S4.31 S5.43
-- empty: No tool was called in this period with these filters
-- columns:
--   tool: {unit: text, width: 200, link: "runs:tool"}
--   runs: short
--   calls: short
--   same_again: {unit: short, colored: bar}
--   same_rate: {unit: percentunit, colored: bad, decimals: 1, label: Share of calls}
--   runs_same: {unit: short, label: Runs that do so}
--   most_calls: {unit: short, label: Most calls in a run}
--   many_variants: {unit: short, label: Runs with many variants}
--   most_variants: {unit: short, label: Most variants in a run}
--   run_id: {unit: text, label: Run with most repeats, link: run}
--   variants_run_id: {unit: text, label: Run with most variants, link: run}
SELECT
    tool,
    count() AS runs,
    sum(in_run) AS calls,
    sum(again) AS same_again,
    same_again / calls AS same_rate,
    countIf(again > 0) AS runs_same,
    max(in_run) AS most_calls,
    countIf(variants >= 5) AS many_variants,
    max(variants) AS most_variants,
    argMaxIf(RunId, again, again > 0) AS run_id,
    argMaxIf(RunId, variants, variants > 1) AS variants_run_id
FROM
(
    SELECT
        RunId,
        ToolName AS tool,
        count() AS in_run,
        -- Where arguments are not known, each call counts as one of its own.
        uniqExactIf(ArgumentsDigest, ArgumentsDigest != '') + countIf(ArgumentsDigest = '') AS variants,
        greatest(toInt64(in_run) - toInt64(variants) - toInt64(countIf(RetryOf != '')), 0) AS again
    FROM $database.steps
    WHERE $__timeFilter(Timestamp)
      AND Kind = 'tool' AND Counted
      AND $step_filters
    GROUP BY RunId, tool
)
GROUP BY tool
ORDER BY same_again DESC, many_variants DESC, calls DESC
LIMIT 200
