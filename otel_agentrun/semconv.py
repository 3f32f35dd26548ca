"""Names of the attributes under `agentrun.*`, and of the standard ones that our spans carry.

Ours exist only where OpenTelemetry has none; what the GenAI conventions name keeps their name
(open-telemetry/semantic-conventions-genai, model/gen-ai/registry.yaml).  Imports nothing of ours.
"""

from __future__ import annotations

from typing import Final

# Run identity.  `RUN_ID` names the *enclosing* run of a span.
RUN_ID: Final = "agentrun.run.id"
RUN_PARENT_ID: Final = "agentrun.run.parent_id"
RUN_STATUS: Final = "agentrun.run.status"
RUN_TRIGGER: Final = "agentrun.run.trigger"
RUN_EXECUTION: Final = "agentrun.run.execution"
RUN_SUMMARY: Final = "agentrun.run.summary"
RUN_OUT_OF_SCOPE: Final = "agentrun.run.out_of_scope"
REQUEST_ID: Final = "agentrun.request.id"
TASK_TYPE: Final = "agentrun.task.type"
STOP_REASON: Final = "agentrun.stop.reason"
INPUT: Final = "agentrun.input"
INPUT_STRUCTURE: Final = "agentrun.input_structure"
OUTPUT: Final = "agentrun.output"
OUTPUT_TYPE: Final = "agentrun.output.type"
RESULT_REF: Final = "agentrun.result.ref"

# Agent and session.
AGENT_ID: Final = "agentrun.agent.id"
AGENT_ROLE: Final = "agentrun.agent.role"
AGENT_TYPE: Final = "agentrun.agent.type"
AGENT_VERSION: Final = "agentrun.agent.version"
SESSION_NAME: Final = "agentrun.session.name"
SESSION_PATH: Final = "agentrun.session.path"

# Tenancy: an API key's own values always win over what a client sends.
WORKSPACE: Final = "agentrun.workspace"
DEPARTMENT: Final = "agentrun.department"
VIRTUAL_KEY: Final = "agentrun.virtual_key"

# Versions of what produced the run, flags and free labels (`<prefix><key>`).
POLICY_VERSION: Final = "agentrun.policy.version"
TOOL_CONTRACT_VERSION: Final = "agentrun.tool.contract_version"
ROUTE_CONFIG_VERSION: Final = "agentrun.route_config.version"
INDEX_VERSION: Final = "agentrun.retrieval.index_version"
FEATURE_FLAG_PREFIX: Final = "agentrun.feature_flag."
TAG_PREFIX: Final = "agentrun.tag."

# Steps.
STEP_KIND: Final = "agentrun.step.kind"
STEP_ID: Final = "agentrun.step.id"
STEP_STATUS: Final = "agentrun.step.status"
STEP_ROLE: Final = "agentrun.step.role"
STEP_SUMMARY: Final = "agentrun.step.summary"
PLAN_STEP_ID: Final = "agentrun.plan.step_id"
PLAN_ITERATION: Final = "agentrun.plan.iteration"
PLAN_DECISION: Final = "agentrun.plan.decision"
RETRY_ATTEMPT: Final = "agentrun.retry.attempt"
RETRY_COUNT: Final = "agentrun.retry.count"
RETRY_REASON: Final = "agentrun.retry.reason"
HANDOFF_TO: Final = "agentrun.handoff.to"
TOOL_VERSION: Final = "agentrun.tool.version"
TOOL_ARGUMENTS_VALID: Final = "agentrun.tool.arguments_valid"
TOOL_ARGUMENTS_HASH: Final = "agentrun.tool.args_hash"
TOOL_RESULT_HASH: Final = "agentrun.tool.result_hash"
RETRIEVAL_FILTERS: Final = "agentrun.retrieval.filters"
RETRIEVAL_EMBEDDING_MODEL: Final = "agentrun.retrieval.embedding_model"
RETRIEVAL_COLLECTION: Final = "agentrun.retrieval.collection"
RETRIEVAL_HIT_COUNT: Final = "agentrun.retrieval.hit_count"
VALIDATION_KIND: Final = "agentrun.validation.kind"
VALIDATION_OUTCOME: Final = "agentrun.validation.outcome"
VALIDATION_RULE: Final = "agentrun.validation.rule"

# Money in US dollars, decimal.
COST_USD: Final = "agentrun.cost.usd"
PAYMENT_USD: Final = "agentrun.payment.usd"
REVENUE_USD: Final = "agentrun.revenue.usd"

# Standard names that runs are made of.
SESSION_ID: Final = "session.id"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
USER_ID: Final = "user.id"
SERVICE_NAME: Final = "service.name"
SERVICE_VERSION: Final = "service.version"
ENVIRONMENT: Final = "deployment.environment.name"
OPERATION: Final = "gen_ai.operation.name"
ERROR_TYPE: Final = "error.type"

DECISION_EVENT: Final = "agentrun.decision"

TENANCY: Final = frozenset({WORKSPACE, DEPARTMENT, VIRTUAL_KEY, ENVIRONMENT})
"""Keys whose value from the API key of the export request beats every other source."""
