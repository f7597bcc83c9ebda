-- one row per reviewed suggestion of a known request, when the agent decided
-- parameters: none
-- columns: request_id VARCHAR, at_us BIGINT, overridden BOOLEAN
select request_id, epoch_us("at") as at_us, overridden
from feedback
where request_id is not null and overridden is not null and "at" is not null
