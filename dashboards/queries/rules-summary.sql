-- title: Rules at a glance
-- description: >-
--   How many runs rules found something in, of which kind, and how many were stopped: by a rule, by a person, or
--   because an approval was refused or never came. Cost is that of the runs in which something was found.
-- answers: S1.9 S1.18 S1.26 S3.32 S5.34 S5.54 S5.55
-- dimensions: owners
-- columns:
--   dimension: {unit: text, label: Group, width: 200, link: "runs:by"}
--   runs: {unit: short, colored: bar}
--   found: {unit: short, label: With a finding}
--   found_share: {unit: percentunit, colored: bad, decimals: 1, label: Share with a finding}
--   loops: {unit: short, label: With a loop}
--   over_budget: {unit: short, label: Over budget}
--   policies: {unit: short, label: Against a policy}
--   process_failures: short
--   stopped_by_rules: short
--   stopped_by_people: short
--   not_approved: short
--   paused: {unit: short, label: Paused now}
--   cost_usd: {unit: currencyUSD, label: Cost of runs with a finding}
--   cost_share: {unit: percentunit, decimals: 1, label: Share of cost}
SELECT
    ${by:raw} AS dimension,
    count() AS runs,
    countIf(notEmpty(`Findings.Rule`)) AS found,
    found / runs AS found_share,
    countIf(has(`Findings.Kind`, 'loop')) AS loops,
    countIf(has(`Findings.Kind`, 'budget')) AS over_budget,
    countIf(has(`Findings.Kind`, 'policy')) AS policies,
    countIf(Outcome = 'process_failure') AS process_failures,
    countIf(startsWith(StopReason, 'budget_') OR StopReason IN ('loop_detected', 'policy')) AS stopped_by_rules,
    countIf(StopReason = 'killed_by_operator') AS stopped_by_people,
    countIf(StopReason IN ('rejected', 'approval_expired')) AS not_approved,
    countIf(Status = 'paused') AS paused,
    sumIf($level.CostUsd, notEmpty(`Findings.Rule`)) AS cost_usd,
    cost_usd / nullIf(sum($level.CostUsd), 0) AS cost_share
FROM $database.runs
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY dimension
ORDER BY found DESC, runs DESC
LIMIT 300
