-- What the collector makes of it: runs, the steps they are folded from, and the events.

CREATE TABLE IF NOT EXISTS agent_runs$local $on_cluster
(
    StartTime DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    EndTime DateTime64(9) CODEC(ZSTD(1)),
    RunId String CODEC(ZSTD(1)),
    GroupId String CODEC(ZSTD(1)),
    ParentRunId String CODEC(ZSTD(1)),
    RootRunId String CODEC(ZSTD(1)),
    ChildRunIds Array(String) CODEC(ZSTD(1)),
    TraceIds Array(String) CODEC(ZSTD(1)),
    RootSpanId String CODEC(ZSTD(1)),
    SessionId String CODEC(ZSTD(1)),
    SessionName String CODEC(ZSTD(1)),
    SessionPath String CODEC(ZSTD(1)),
    ConversationId String CODEC(ZSTD(1)),
    RequestId String CODEC(ZSTD(1)),
    AgentName LowCardinality(String),
    AgentId String CODEC(ZSTD(1)),
    AgentRole LowCardinality(String),
    AgentType LowCardinality(String),
    AgentVersion LowCardinality(String),
    WorkflowName LowCardinality(String),
    TaskType LowCardinality(String),
    ServiceName LowCardinality(String),
    Environment LowCardinality(String),
    Workspace LowCardinality(String),
    Department LowCardinality(String),
    VirtualKey LowCardinality(String),
    UserId String CODEC(ZSTD(1)),
    Trigger LowCardinality(String),
    Execution LowCardinality(String),
    Status LowCardinality(String),
    StopReason LowCardinality(String),
    Outcome LowCardinality(String),
    FailureMode LowCardinality(String),
    ErrorType LowCardinality(String),
    ErrorMessage String CODEC(ZSTD(1)),
    ErrorSpanId String CODEC(ZSTD(1)),
    BusyNs Int64 CODEC(ZSTD(1)),
    PausedNs Int64 CODEC(ZSTD(1)),
    InputTraceId String CODEC(ZSTD(1)),
    InputSpanId String CODEC(ZSTD(1)),
    OutputTraceId String CODEC(ZSTD(1)),
    OutputSpanId String CODEC(ZSTD(1)),
    InputStructure String CODEC(ZSTD(1)),
    OutputType LowCardinality(String),
    ResultRef String CODEC(ZSTD(1)),
    Steps Int64 CODEC(T64, ZSTD(1)),
    PlanSteps Int64 CODEC(T64, ZSTD(1)),
    ModelCalls Int64 CODEC(T64, ZSTD(1)),
    ModelErrors Int64 CODEC(T64, ZSTD(1)),
    ToolCalls Int64 CODEC(T64, ZSTD(1)),
    ToolErrors Int64 CODEC(T64, ZSTD(1)),
    Retrievals Int64 CODEC(T64, ZSTD(1)),
    Validations Int64 CODEC(T64, ZSTD(1)),
    Retries Int64 CODEC(T64, ZSTD(1)),
    Handoffs Int64 CODEC(T64, ZSTD(1)),
    InputTokens Int64 CODEC(T64, ZSTD(1)),
    OutputTokens Int64 CODEC(T64, ZSTD(1)),
    CacheReadTokens Int64 CODEC(T64, ZSTD(1)),
    CacheWriteTokens Int64 CODEC(T64, ZSTD(1)),
    ReasoningTokens Int64 CODEC(T64, ZSTD(1)),
    ModelCostNanoUsd Int64 CODEC(T64, ZSTD(1)),
    ToolCostNanoUsd Int64 CODEC(T64, ZSTD(1)),
    PaymentCostNanoUsd Int64 CODEC(T64, ZSTD(1)),
    RevenueNanoUsd Int64 CODEC(T64, ZSTD(1)),
    StepsTotal Int64 CODEC(T64, ZSTD(1)),
    PlanStepsTotal Int64 CODEC(T64, ZSTD(1)),
    ModelCallsTotal Int64 CODEC(T64, ZSTD(1)),
    ModelErrorsTotal Int64 CODEC(T64, ZSTD(1)),
    ToolCallsTotal Int64 CODEC(T64, ZSTD(1)),
    ToolErrorsTotal Int64 CODEC(T64, ZSTD(1)),
    RetrievalsTotal Int64 CODEC(T64, ZSTD(1)),
    ValidationsTotal Int64 CODEC(T64, ZSTD(1)),
    RetriesTotal Int64 CODEC(T64, ZSTD(1)),
    HandoffsTotal Int64 CODEC(T64, ZSTD(1)),
    InputTokensTotal Int64 CODEC(T64, ZSTD(1)),
    OutputTokensTotal Int64 CODEC(T64, ZSTD(1)),
    CacheReadTokensTotal Int64 CODEC(T64, ZSTD(1)),
    CacheWriteTokensTotal Int64 CODEC(T64, ZSTD(1)),
    ReasoningTokensTotal Int64 CODEC(T64, ZSTD(1)),
    ModelCostNanoUsdTotal Int64 CODEC(T64, ZSTD(1)),
    ToolCostNanoUsdTotal Int64 CODEC(T64, ZSTD(1)),
    PaymentCostNanoUsdTotal Int64 CODEC(T64, ZSTD(1)),
    RevenueNanoUsdTotal Int64 CODEC(T64, ZSTD(1)),
    MaxDepth Int64 CODEC(T64, ZSTD(1)),
    MaxFanOut Int64 CODEC(T64, ZSTD(1)),
    CostConfidence LowCardinality(String),
    CostConfidenceTotal LowCardinality(String),
    CostSource LowCardinality(String),
    PriceVersion LowCardinality(String),
    Models Array(LowCardinality(String)),
    Providers Array(LowCardinality(String)),
    Tools Array(LowCardinality(String)),
    PromptVersions Map(LowCardinality(String), String),
    PolicyVersion LowCardinality(String),
    ToolContractVersion LowCardinality(String),
    RouteConfigVersion LowCardinality(String),
    IndexVersion LowCardinality(String),
    AppVersion LowCardinality(String),
    FeatureFlags Map(LowCardinality(String), String),
    Summary String CODEC(ZSTD(1)),
    OutOfScope Bool,
    `Findings.Rule` Array(LowCardinality(String)),
    `Findings.Kind` Array(LowCardinality(String)),
    `Findings.Severity` Array(LowCardinality(String)),
    `Findings.Explanation` Array(String) CODEC(ZSTD(1)),
    `Findings.SpanIds` Array(Array(String)) CODEC(ZSTD(1)),
    `Findings.Timestamp` Array(DateTime64(9)) CODEC(ZSTD(1)),
    `Budgets.Rule` Array(LowCardinality(String)),
    `Budgets.Kind` Array(LowCardinality(String)),
    `Budgets.Limit` Array(Float64) CODEC(ZSTD(1)),
    `Budgets.Used` Array(Float64) CODEC(ZSTD(1)),
    `Budgets.Remaining` Array(Float64) CODEC(ZSTD(1)),
    Quality Map(LowCardinality(String), String),
    Tags Map(LowCardinality(String), String),
    Dialects Array(LowCardinality(String)),
    DataQuality Array(LowCardinality(String)),
    ReplacedBy String CODEC(ZSTD(1)),
    IsDeleted UInt8,
    Version UInt64 CODEC(ZSTD(1)),
    ReceivedAt DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1)),
    DurationNs Int64 ALIAS if(EndTime > StartTime,
        toUnixTimestamp64Nano(EndTime) - toUnixTimestamp64Nano(StartTime), 0),
    CostNanoUsd Int64 ALIAS ModelCostNanoUsd + ToolCostNanoUsd + PaymentCostNanoUsd,
    CostNanoUsdTotal Int64 ALIAS
        ModelCostNanoUsdTotal + ToolCostNanoUsdTotal + PaymentCostNanoUsdTotal,
    CostUsd Float64 ALIAS CostNanoUsd / 1e9,
    CostUsdTotal Float64 ALIAS CostNanoUsdTotal / 1e9,
    INDEX idx_run_id RunId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_group_id GroupId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_trace_ids TraceIds TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(Version, IsDeleted)
PARTITION BY toYYYYMM(StartTime)
ORDER BY (toStartOfHour(StartTime), RunId, Workspace)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, auto_statistics_types = '',
    min_bytes_for_wide_part = 67108864, ratio_of_defaults_for_sparse_serialization = 1;

-- distributed: agent_runs cityHash64(RunId)

CREATE TABLE IF NOT EXISTS agent_steps$local $on_cluster
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    EndTime DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    SpanVersion UInt64 CODEC(ZSTD(1)),
    Kind LowCardinality(String),
    Role LowCardinality(String),
    Dialect LowCardinality(String),
    Scope LowCardinality(String),
    Name LowCardinality(String),
    Status LowCardinality(String),
    ErrorType LowCardinality(String),
    ErrorMessage String CODEC(ZSTD(1)),
    EnclosingRunId String CODEC(ZSTD(1)),
    StepId Int64 CODEC(ZSTD(1)),
    EmittedAgentName LowCardinality(String),
    AgentId LowCardinality(String),
    Provider LowCardinality(String),
    Model LowCardinality(String),
    HasUsage Bool,
    InputTokens Nullable(Int64) CODEC(ZSTD(1)),
    OutputTokens Nullable(Int64) CODEC(ZSTD(1)),
    CacheReadTokens Nullable(Int64) CODEC(ZSTD(1)),
    CacheWriteTokens Nullable(Int64) CODEC(ZSTD(1)),
    ReasoningTokens Nullable(Int64) CODEC(ZSTD(1)),
    ResponseId String CODEC(ZSTD(1)),
    FinishReasons Array(LowCardinality(String)),
    `ToolRequests.Name` Array(LowCardinality(String)),
    `ToolRequests.CallId` Array(String) CODEC(ZSTD(1)),
    `ToolRequests.ArgumentsDigest` Array(String) CODEC(ZSTD(1)),
    ToolName LowCardinality(String),
    ToolCallId String CODEC(ZSTD(1)),
    ArgumentsDigest String CODEC(ZSTD(1)),
    ResultDigest String CODEC(ZSTD(1)),
    InputBytes Int64 CODEC(ZSTD(1)),
    OutputBytes Int64 CODEC(ZSTD(1)),
    HitCount Nullable(Int64) CODEC(ZSTD(1)),
    EmittedAttempt Int64 CODEC(ZSTD(1)),
    RetryReason LowCardinality(String),
    HandoffTo LowCardinality(String),
    EmittedCostNanoUsd Nullable(Int64) CODEC(ZSTD(1)),
    PaymentNanoUsd Int64 CODEC(ZSTD(1)),
    RevenueNanoUsd Int64 CODEC(ZSTD(1)),
    Endpoint String CODEC(ZSTD(1)),
    InputStructure String CODEC(ZSTD(1)),
    `Links.TraceId` Array(String) CODEC(ZSTD(1)),
    `Links.SpanId` Array(String) CODEC(ZSTD(1)),
    Labels Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    RunId String CODEC(ZSTD(1)),
    GroupId String CODEC(ZSTD(1)),
    AgentName LowCardinality(String),
    Counted Bool,
    DuplicateOf String CODEC(ZSTD(1)),
    CostNanoUsd Nullable(Int64) CODEC(ZSTD(1)),
    CostConfidence LowCardinality(String),
    Attempt Int64 CODEC(ZSTD(1)),
    RetryOf String CODEC(ZSTD(1)),
    ChildRunId String CODEC(ZSTD(1)),
    Version UInt64 CODEC(ZSTD(1)),
    ReceivedAt DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1)),
    DurationNs Int64 ALIAS toUnixTimestamp64Nano(EndTime) - toUnixTimestamp64Nano(Timestamp),
    INDEX idx_run_id RunId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_group_id GroupId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree(Version)
PARTITION BY toDate(Timestamp)
ORDER BY (toStartOfHour(Timestamp), TraceId, SpanId)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, auto_statistics_types = '',
    min_bytes_for_wide_part = 67108864, ratio_of_defaults_for_sparse_serialization = 1,
    merge_selector_base = 20;

-- distributed: agent_steps cityHash64(TraceId)

-- EventId is a digest of the content, so that a resent event is the same row; the run it belongs to
-- may change when a parent arrives, and then the last row written wins.
CREATE TABLE IF NOT EXISTS agent_events$local $on_cluster
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    EventId String CODEC(ZSTD(1)),
    Name LowCardinality(String),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    EnclosingRunId String CODEC(ZSTD(1)),
    RunId String CODEC(ZSTD(1)),
    GroupId String CODEC(ZSTD(1)),
    Attributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Body String CODEC(ZSTD(1)),
    ReceivedAt DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1)),
    INDEX idx_run_id RunId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_group_id GroupId TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX idx_trace_id TraceId TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(Timestamp)
ORDER BY (toStartOfHour(Timestamp), EventId)
SETTINGS index_granularity = 1024, ttl_only_drop_parts = 1, auto_statistics_types = '';

-- distributed: agent_events cityHash64(EventId)

-- What could not be decoded or stored: size, digest, peer and error, never the bytes.
CREATE TABLE IF NOT EXISTS dead_letters$local $on_cluster
(
    Timestamp DateTime64(9) CODEC(Delta(8), ZSTD(1)),
    Signal LowCardinality(String),
    Reason LowCardinality(String),
    Error String CODEC(ZSTD(1)),
    Peer String CODEC(ZSTD(1)),
    SizeBytes Int64 CODEC(ZSTD(1)),
    Sha256 String CODEC(ZSTD(1)),
    Items Int64 CODEC(ZSTD(1)),
    ReceivedAt DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree
PARTITION BY toYYYYMM(Timestamp)
ORDER BY (toStartOfHour(Timestamp), Signal, Sha256, Timestamp, Reason)
SETTINGS ttl_only_drop_parts = 1, auto_statistics_types = '';

-- distributed: dead_letters cityHash64(Sha256)

-- Traces that were erased: their late or resent spans are refused.
CREATE TABLE IF NOT EXISTS trace_tombstones$local $on_cluster
(
    TraceId String CODEC(ZSTD(1)),
    ErasedAt DateTime64(9) CODEC(ZSTD(1)),
    ReceivedAt DateTime DEFAULT now() CODEC(Delta(4), ZSTD(1))
)
ENGINE = ${replicated}ReplacingMergeTree(ErasedAt)
ORDER BY TraceId
SETTINGS index_granularity = 256, auto_statistics_types = '';

-- distributed: trace_tombstones cityHash64(TraceId)

-- Readiness: one row per collector process, written and read back.
CREATE TABLE IF NOT EXISTS store_canary$local $on_cluster
(
    WriterId UInt64,
    Value UInt64,
    ReceivedAt DateTime DEFAULT now()
)
ENGINE = ${replicated}ReplacingMergeTree(Value)
ORDER BY WriterId
TTL ReceivedAt + INTERVAL 1 DAY
SETTINGS auto_statistics_types = '';

-- distributed: store_canary WriterId
