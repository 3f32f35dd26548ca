-- title: Failure modes before and after
-- description: >-
--   Share of all runs that failed in each way, per version and the one that the same agent had before
--   it. p as in "Before and after" (z-test); a mode with a share of 0 before is new.
-- answers: S4.19 S4.33 S4.34 S3.28 S5.82
-- empty: No failed run, or no agent had two versions of this kind in the period
-- dimensions: versions
-- columns:
--   changed: {unit: time, label: First run after, width: 180}
--   agent: {unit: text, link: "runs:agent"}
--   subject: {unit: text, label: Of}
--   before: text
--   after: text
--   failure_mode: text
--   failed_before: short
--   failed_after: short
--   share_before: {unit: percentunit, decimals: 1}
--   share_after: {unit: percentunit, colored: bad, decimals: 1}
--   p: {unit: short, decimals: 4, label: p}
--   verdict: {unit: text, colored: word}
WITH
    versions AS
    (
        SELECT
            agent,
            version.1 AS subject,
            version.2 AS after,
            min(StartTime) AS first_at,
            count() AS n,
            sumMap(if(failed, map(mode, toUInt64(1)), map())) AS modes
        FROM
        (
            SELECT
                AgentName AS agent,
                ${by:raw} AS version,
                StartTime,
                Status != 'completed' AS failed,
                if(FailureMode = '', 'not told', toString(FailureMode)) AS mode
            FROM $database.runs
            WHERE $__timeFilter(StartTime)
              AND Status NOT IN ('initiated', 'running', 'paused')
              AND $run_filters
        )
        GROUP BY agent, subject, after
    ),
    pairs AS
    (
        SELECT
            *,
            row_number() OVER w AS place,
            lagInFrame(after) OVER w AS before,
            lagInFrame(n) OVER w AS n_before,
            lagInFrame(modes) OVER w AS modes_before
        FROM versions
        WINDOW w AS (PARTITION BY agent, subject ORDER BY first_at, after ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    ),
    erfc(abs(failed_after / n - failed_before / n_before) / sqrt((failed_before + failed_after) / (n_before + n) * (1 - (failed_before + failed_after) / (n_before + n)) * (1 / n_before + 1 / n)) / sqrt(2)) AS tested
SELECT
    first_at AS changed,
    agent,
    subject,
    before,
    after,
    failure_mode,
    modes_before[failure_mode] AS failed_before,
    modes[failure_mode] AS failed_after,
    failed_before / n_before AS share_before,
    failed_after / n AS share_after,
    if(isNaN(tested), toFloat64(share_before = share_after), tested) AS p,
    multiIf(least(n_before, n) < 20, 'too few runs', p >= 0.01, 'no difference', share_after < share_before, 'better', 'worse') AS verdict
FROM pairs
ARRAY JOIN arrayDistinct(arrayConcat(mapKeys(modes_before), mapKeys(modes))) AS failure_mode
WHERE place > 1
ORDER BY changed DESC, agent, subject, after, failed_after DESC, failure_mode
LIMIT 500
