-- title: Best scores
-- description: How many of the newest 10,000 retrievals had a best score in each band. Two humps are two kinds of questions, those that the index answers and those that it does not.
-- answers: S5.15 S5.32
-- empty: No retrieval gave scores to its documents
-- columns:
--   band: {unit: text, label: Best score}
--   retrievals: short
WITH arrayMax(arrayFilter(score -> score IS NOT NULL, Documents.score)) AS best
SELECT
    if(best >= 0 AND best <= 1,
        concat(toString(least(floor(assumeNotNull(best), 1), 0.9)), ' to ', toString(round(least(floor(assumeNotNull(best), 1), 0.9) + 0.1, 1))),
        concat(toString(floor(assumeNotNull(best))), ' to ', toString(floor(assumeNotNull(best)) + 1))) AS band,
    count() AS retrievals
FROM $retrievals
WHERE arrayExists(score -> score IS NOT NULL, Documents.score)
GROUP BY band
ORDER BY min(best)
LIMIT 50
