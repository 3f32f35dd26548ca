-- title: Findings and loop evidence
-- description: What rules found, in words, with the spans that show it; a loop names its cycle, its count and what it cost.
-- answers: S1.9 S1.24 S1.25 S1.26 S3.44 S4.31 S4.32 S5.43 S5.55 S5.80
-- empty: No rule found anything in this run
-- columns:
--   at: {unit: time, width: 180}
--   rule: {unit: text, width: 160}
--   kind: {unit: text, width: 80}
--   severity: {unit: text, colored: word, width: 90}
--   explanation: text
--   spans: text
SELECT
    finding.1 AS at, finding.2 AS rule, finding.3 AS kind, finding.4 AS severity,
    finding.5 AS explanation, arrayStringConcat(finding.6, ', ') AS spans
FROM
(
    SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
)
ARRAY JOIN arrayZip(`Findings.Timestamp`, `Findings.Rule`, `Findings.Kind`, `Findings.Severity`, `Findings.Explanation`, `Findings.SpanIds`) AS finding
ORDER BY at, rule
