-- title: Budgets
-- description: What each budget allowed, what was used and what remained.
-- answers: S1.19 S1.20 S1.21 S1.23 S2.15 S5.34
-- empty: No budget applied to this run (docs/rules.md says how to set one)
-- columns:
--   rule: text
--   kind: text
--   limit: short
--   used: short
--   remaining: short
--   used_share: {unit: percentunit, colored: bad, decimals: 0}
SELECT
    budget.1 AS rule, budget.2 AS kind, budget.3 AS limit, budget.4 AS used, budget.5 AS remaining,
    used / nullIf(limit, 0) AS used_share
FROM
(
    SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
)
ARRAY JOIN arrayZip(`Budgets.Rule`, `Budgets.Kind`, `Budgets.Limit`, `Budgets.Used`, `Budgets.Remaining`) AS budget
ORDER BY used_share DESC
