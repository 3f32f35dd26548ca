-- title: Who, where, which versions, why it stopped
-- description: >-
--   Everything known of the run beside its figures: identity, session and tenant, versions of prompts,
--   policy, tools, route, index and application, why it stopped, what went wrong and where, how its cost
--   is known, what is missing in the data.
-- answers: S2.1 S2.2 S2.3 S2.4 S2.5 S2.12 S2.19 S2.20 S2.21 S2.22 S2.23 S2.24 S2.27 S2.32 S3.11 S3.30 S4.2 S4.5 S4.15 S4.16 S4.17 S4.18 S5.1 S5.2 S5.11 S5.22 S5.34 S5.77
-- columns:
--   fact: {unit: text, width: 190}
--   value: text
SELECT entry.1 AS fact, entry.2 AS value
FROM
(
    SELECT * FROM $database.runs WHERE RunId = ${run:sqlstring} ORDER BY Version DESC LIMIT 1
)
ARRAY JOIN arrayConcat(
    [
        ('stop reason', StopReason), ('failure mode', FailureMode), ('error type', ErrorType),
        ('error', ErrorMessage), ('error at span', ErrorSpanId),
        ('agent', AgentName), ('agent id', AgentId), ('agent type', AgentType),
        ('agent role', AgentRole), ('agent version', AgentVersion), ('workflow', WorkflowName),
        ('task type', TaskType), ('trigger', Trigger), ('execution', Execution),
        ('started', toString(StartTime)), ('ended', if(EndTime > StartTime, toString(EndTime), '')),
        ('paused', if(PausedNs > 0, formatReadableTimeDelta(PausedNs / 1e9), '')),
        ('run', RunId), ('parent run', ParentRunId), ('root run', RootRunId),
        ('request', RequestId), ('session', SessionId), ('session name', SessionName),
        ('session path', SessionPath), ('conversation', ConversationId), ('user', UserId),
        ('workspace', Workspace), ('department', Department), ('virtual key', VirtualKey),
        ('service', ServiceName), ('environment', Environment), ('application version', AppVersion),
        ('policy version', PolicyVersion), ('tool contract version', ToolContractVersion),
        ('route config version', RouteConfigVersion), ('index version', IndexVersion),
        ('models', arrayStringConcat(Models, ', ')), ('providers', arrayStringConcat(Providers, ', ')),
        ('tools', arrayStringConcat(Tools, ', ')),
        ('cost known', concat(CostConfidenceTotal, if(PriceVersion = '', '', concat(', prices of ', PriceVersion)))),
        ('result at', ResultRef), ('output type', OutputType), ('summary', Summary),
        ('out of scope', if(OutOfScope, 'yes', '')),
        ('traces', arrayStringConcat(TraceIds, ', ')),
        ('data quality', arrayStringConcat(DataQuality, ', ')), ('dialects', arrayStringConcat(Dialects, ', '))
    ],
    arrayMap((name, version) -> (concat('prompt ', name), concat('version ', version)), mapKeys(PromptVersions), mapValues(PromptVersions)),
    arrayMap((name, variant) -> (concat('flag ', name), variant), mapKeys(FeatureFlags), mapValues(FeatureFlags)),
    arrayMap((name, text) -> (concat('tag ', name), text), mapKeys(Tags), mapValues(Tags)),
    arrayMap((name, text) -> (concat('quality ', name), text), mapKeys(Quality), mapValues(Quality))
) AS entry
WHERE value != ''
