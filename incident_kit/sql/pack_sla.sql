-- one row per SLA instance
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy_name VARCHAR, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, paused_s BIGINT, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR, schedule_id VARCHAR, load_id BIGINT
select
  ticket_id, metric, instance_no, policy as policy_name, target_s, clock, started_at, due_at, stopped_at, paused_s, elapsed_s,
  breached, outcome, evidence_level, source, schedule_id, load_id
from sla
