-- one row per target that an SLA policy promises
-- parameters: none
-- columns: policy_id VARCHAR, metric VARCHAR, priority VARCHAR, target_s BIGINT, clock VARCHAR, from_at TIMESTAMP WITH TIME ZONE, load_id BIGINT
select policy_id, metric, priority, target_s, clock, from_at, load_id
from sla_targets
