ALTER TABLE agent_runs$local $on_cluster DROP INDEX IF EXISTS idx_tool_call_ids;

-- drop column: agent_runs ToolCallIds
