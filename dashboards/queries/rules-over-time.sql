-- title: Findings over time
-- description: What rules found, by rule and by when it was found; a finding that grew counts once, one that was withdrawn not at all.
-- answers: S1.24 S1.25
-- empty: No rule found anything in this period
-- columns: {time: time, rule: text, findings: short}
SELECT $__timeInterval(at) AS time, rule, count() AS findings
FROM
(
    SELECT
        RunId,
        if(mapContains(Attributes, 'agentrun.finding.id'), Attributes['agentrun.finding.id'], EventId) AS id,
        argMax(Timestamp, (toUInt64OrZero(Attributes['agentrun.finding.revision']), Timestamp, EventId)) AS at,
        argMax(Attributes['agentrun.finding.rule'], (toUInt64OrZero(Attributes['agentrun.finding.revision']), Timestamp, EventId)) AS rule,
        argMax(mapContains(Attributes, 'agentrun.finding.withdrawn'), (toUInt64OrZero(Attributes['agentrun.finding.revision']), Timestamp, EventId)) AS withdrawn
    FROM $database.agent_events
    WHERE $__timeFilter(Timestamp)
      AND Name = 'agentrun.finding'
      AND RunId IN
      (
          SELECT RunId FROM $database.runs
          WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
            AND $each_run_filters
      )
    GROUP BY RunId, id
)
WHERE NOT withdrawn
GROUP BY time, rule
ORDER BY time, rule
