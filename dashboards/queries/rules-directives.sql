-- title: Directives
-- description: >-
--   What applications were told, by whom and why, and whether they did it. Without an answer it waits for its
--   application to connect (`agentrun runs stop`, docs/control.md); one for an agent, a workspace or everything
--   is answered once for each run.
-- answers: S1.14 S1.15 S1.17 S1.18 S2.14 S2.17 S4.26
-- empty: Nobody was told to stop, pause or go on in this period
-- columns:
--   at: {unit: time, width: 180}
--   action: {unit: text, width: 90}
--   scope: {unit: text, width: 100}
--   target: text
--   run_id: {unit: text, label: Run, link: run, width: 150}
--   status: {unit: text, colored: word}
--   answered_secs: {unit: s, label: Answered after, decimals: 3}
--   answers: short
--   actor: {unit: text, label: By}
--   rule: text
--   reason: text
--   error: text
SELECT
    minIf(time, requested) AS at,
    anyIf(said['agentrun.directive.action'], requested) AS action,
    anyIf(said['agentrun.directive.scope'], requested) AS scope,
    anyIf(multiIf(scope_ = 'agent', AgentName, scope_ = 'workspace', Workspace, scope_ = 'everything', '', run), requested) AS target,
    anyIf(run, requested) AS run_id,
    multiIf(answers = 0, 'requested', countIf(word = 'failed') > 0, 'failed', 'acknowledged') AS status,
    if(answers = 0, NULL, dateDiff('millisecond', at, minIf(time, NOT requested)) / 1000) AS answered_secs,
    uniqExactIf(run, NOT requested) AS answers,
    anyIf(said['agentrun.actor'], requested) AS actor,
    anyIf(said['agentrun.decision.rule'], requested) AS rule,
    anyIf(said['agentrun.decision.reason'], requested) AS reason,
    anyIf(said['error.message'], word = 'failed') AS error
FROM
(
    -- A directive for many has no run: its own words say what it is for.
    SELECT
        event.Timestamp AS time, event.RunId AS run, event.Attributes AS said,
        said['agentrun.directive.id'] AS id,
        said['agentrun.directive.status'] AS word,
        said['agentrun.directive.scope'] AS scope_,
        word NOT IN ('acknowledged', 'failed') AS requested,
        if(run = '', said['gen_ai.agent.name'], of_run.AgentName) AS AgentName,
        if(run = '', if(said['agentrun.workspace'] = '', said['agentrun.directive.workspace_limit'], said['agentrun.workspace']), of_run.Workspace) AS Workspace,
        of_run.Environment AS Environment, of_run.WorkflowName AS WorkflowName, of_run.TaskType AS TaskType,
        of_run.AgentVersion AS AgentVersion, of_run.AppVersion AS AppVersion,
        of_run.UserId AS UserId, of_run.SessionId AS SessionId
    FROM
    (
        SELECT Timestamp, EventId, RunId, Attributes
        FROM $database.agent_events
        WHERE $__timeFilter(Timestamp)
          AND Name = 'agentrun.directive'
        LIMIT 1 BY EventId
    ) AS event
    ANY LEFT JOIN
    (
        SELECT RunId, AgentName, Workspace, Environment, WorkflowName, TaskType, AgentVersion, AppVersion, UserId, SessionId
        FROM $database.runs
        WHERE StartTime >= $__fromTime - INTERVAL 1 DAY AND StartTime <= $__toTime
    ) AS of_run ON of_run.RunId = event.RunId
)
WHERE $each_run_filters
GROUP BY id
HAVING countIf(requested) > 0
ORDER BY at DESC, id
LIMIT 500
