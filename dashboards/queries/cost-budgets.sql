-- title: Use of budgets
-- description: >-
--   Every budget of the rules in force, by group: how far the runs of the period used it up. A budget
--   that runs share (`per` and `window` of the rule) is told by its newest run, and says when it is used
--   up at the pace of this period: group by what the rule says it is per.
-- answers: S1.19 S1.20 S1.21 S1.23 S2.2 S2.15
-- empty: No budget applied to these runs (docs/rules.md says how to set one)
-- dimensions: owners
-- columns:
--   rule: {unit: text, width: 180}
--   measure: text
--   dimension: {unit: text, label: Group, width: 180, link: "runs:by"}
--   shared: {unit: bool, label: Shared}
--   runs: short
--   limit: short
--   used: {unit: short, label: Used by the newest run, decimals: 4}
--   used_share: {unit: percentunit, colored: used, decimals: 1}
--   p95_share: {unit: percentunit, decimals: 1, label: p95 share}
--   most_share: {unit: percentunit, colored: used, decimals: 1, label: Most}
--   near: {unit: short, label: "Runs past 80 %"}
--   over: {unit: short, label: Runs past the limit}
--   used_up_in_secs: {unit: s, label: Used up in}
SELECT
    budget.1 AS rule,
    budget.2 AS measure,
    ${by:raw} AS dimension,
    -- Alone a run uses what it used: more is that of others, or estimated where something is unknown.
    countIf(budget.4 > $budget_own * 1.000001 + 1e-9 AND CostConfidenceTotal != 'unknown') > 0 AS shared,
    count() AS runs,
    argMax(budget.3, StartTime) AS limit,
    argMax(budget.4, StartTime) AS used,
    used / nullIf(limit, 0) AS used_share,
    quantile(0.95)(budget.4 / nullIf(budget.3, 0)) AS p95_share,
    max(budget.4 / nullIf(budget.3, 0)) AS most_share,
    countIf(budget.4 > 0.8 * budget.3) AS near,
    countIf(budget.4 > budget.3) AS over,
    if(shared, greatest(limit - used, 0) * ($__toTime - $__fromTime) / nullIf(sum($budget_own), 0), NULL) AS used_up_in_secs
FROM $database.runs
ARRAY JOIN arrayZip(`Budgets.Rule`, `Budgets.Kind`, `Budgets.Limit`, `Budgets.Used`) AS budget
WHERE $__timeFilter(StartTime)
  AND $run_filters
GROUP BY rule, measure, dimension
ORDER BY most_share DESC, runs DESC
LIMIT 500
