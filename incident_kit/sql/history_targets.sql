-- one row per target in `told`, in order
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, from_us BIGINT, target_s BIGINT, clock VARCHAR, policy VARCHAR, is_derived BOOLEAN
select ticket_id, metric, epoch_us("at") as from_us, target_s, clock, policy, is_derived
from told
order by ticket_id, metric, "at", seq nulls last, target_s
