-- title: How few runs take how much
-- description: >-
--   Runs from the dearest to the cheapest: the dearest 10 % of them (0.1) take this share of all money,
--   of all tokens, of all running time. The steeper the start, the more a few runs decide.
-- answers: S3.22
-- columns:
--   share_of_runs: {unit: percentunit, label: "Share of runs, dearest first"}
--   cost_share: {unit: percentunit, label: Share of cost}
--   token_share: {unit: percentunit, label: Share of tokens}
--   time_share: {unit: percentunit, label: Share of time}
SELECT
    sum(runs) OVER up_to / nullIf(sum(runs) OVER (), 0) AS share_of_runs,
    sum(cost) OVER up_to / nullIf(sum(cost) OVER (), 0) AS cost_share,
    sum(tokens) OVER up_to / nullIf(sum(tokens) OVER (), 0) AS token_share,
    sum(running) OVER up_to / nullIf(sum(running) OVER (), 0) AS time_share
FROM
(
    SELECT
        intDiv((place - 1) * 50, greatest(total, 1)) AS slice,
        count() AS runs, sum(run_cost) AS cost, sum(run_tokens) AS tokens, sum(run_time) AS running
    FROM
    (
        SELECT
            $level.CostUsd AS run_cost,
            $level.InputTokens + $level.OutputTokens AS run_tokens,
            greatest(DurationNs - PausedNs, 0) AS run_time,
            row_number() OVER (ORDER BY $level.CostUsd DESC, RunId) AS place,
            count() OVER () AS total
        FROM $database.runs
        WHERE $__timeFilter(StartTime)
          AND $run_filters
    )
    GROUP BY slice
)
WINDOW up_to AS (ORDER BY slice)
ORDER BY share_of_runs
