-- one row per event of an SLA instance
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, at TIMESTAMP WITH TIME ZONE, type VARCHAR, target_s BIGINT, clock VARCHAR, policy_name VARCHAR, seq BIGINT, elapsed_s BIGINT, elapsed_business_s BIGINT, load_id BIGINT
select
  ticket_id, metric, instance_no, "at", type, target_s, clock, policy as policy_name, seq, elapsed_s, elapsed_business_s, load_id
from sla_events
