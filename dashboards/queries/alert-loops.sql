-- title: Agents in a loop
-- description: >-
--   Runs of an agent in which a loop was found in the last hour. Look at where agents go in circles on the
--   dashboard Loops and policies; stop a run with `agentrun runs stop`.
-- answers: S1.9 S1.24 S1.25 S1.26
-- columns:
--   agent: text
--   rule: text
--   runs_in_a_loop: short
SELECT
    AgentName AS agent,
    finding.1 AS rule,
    uniqExact(RunId) AS runs_in_a_loop
FROM $database.runs
ARRAY JOIN arrayZip(`Findings.Rule`, `Findings.Kind`, `Findings.Timestamp`) AS finding
WHERE StartTime >= $__toTime - INTERVAL 1 DAY
  AND finding.2 = 'loop'
  AND finding.3 >= $__toTime - INTERVAL 1 HOUR
GROUP BY agent, rule
