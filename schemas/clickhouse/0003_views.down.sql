DROP VIEW IF EXISTS agent_feedback $on_cluster;

DROP VIEW IF EXISTS steps $on_cluster;

DROP VIEW IF EXISTS runs $on_cluster;
