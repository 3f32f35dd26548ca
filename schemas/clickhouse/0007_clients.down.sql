ALTER TABLE agent_runs$local $on_cluster DROP INDEX IF EXISTS idx_tie_ids;

-- drop column: agent_runs TieIds
