-- title: Complaints and the versions they are about
-- description: >-
--   What people and evaluations said against a run, newest first, with the versions and the route that
--   answered. A complaint is feedback with a label such as soft_failure or thumbs_down, or with a
--   score of 0 or below.
-- answers: S4.33 S3.20 S5.54
-- empty: Nobody complained in this period
-- columns:
--   at: {unit: time, width: 180}
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   agent: {unit: text, link: "runs:agent"}
--   feedback: text
--   said: {unit: text, label: Label or score}
--   comment: text
--   prompts: text
--   policy: text
--   tool_contract: text
--   route_config: text
--   route: {unit: text, label: Route taken}
--   index: text
--   models: text
--   application: text
--   user: {unit: text, link: "runs:user"}
WITH
    complained AS
    (
        SELECT *
        FROM $database.runs
        WHERE $__timeFilter(StartTime)
          AND $complaint
          AND $run_filters
    ),
    said_of AS
    (
        SELECT
            RunId,
            max(Timestamp) AS at,
            arrayStringConcat(groupUniqArray(Name), ', ') AS feedback,
            arrayStringConcat(groupUniqArrayArray(arrayFilter(one -> one != '', [Label, toString(Score)])), ', ') AS said,
            arrayStringConcat(groupUniqArrayIf(left(Comment, 300), Comment != ''), '; ') AS comment
        FROM $database.agent_feedback
        WHERE Timestamp >= $__fromTime
          AND RunId IN (SELECT RunId FROM complained)
        GROUP BY RunId
    ),
    routed AS
    (
        SELECT RunId, arrayStringConcat(groupUniqArray(Attributes['agentrun.decision.chosen']), ', ') AS route
        FROM $database.agent_events
        WHERE $__timeFilter(Timestamp)
          AND Name = 'agentrun.decision'
          AND Attributes['agentrun.decision.kind'] IN ('route', 'fallback')
          AND RunId IN (SELECT RunId FROM complained)
        GROUP BY RunId
    )
SELECT
    if(said_of.RunId = '', run.EndTime, said_of.at) AS at,
    run.RunId AS run_id,
    run.AgentName AS agent,
    said_of.feedback AS feedback,
    said_of.said AS said,
    said_of.comment AS comment,
    arrayStringConcat(arrayMap((n, v) -> concat(n, ' ', v), mapKeys(run.PromptVersions), mapValues(run.PromptVersions)), ', ') AS prompts,
    run.PolicyVersion AS policy,
    run.ToolContractVersion AS tool_contract,
    run.RouteConfigVersion AS route_config,
    routed.route AS route,
    run.IndexVersion AS index,
    arrayStringConcat(run.Models, ', ') AS models,
    run.AppVersion AS application,
    run.UserId AS user
FROM complained AS run
LEFT JOIN said_of ON said_of.RunId = run.RunId
LEFT JOIN routed ON routed.RunId = run.RunId
ORDER BY at DESC, run_id
LIMIT 200
