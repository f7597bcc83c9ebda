-- one row per request that the gateway refused at least once (its target was in cooldown) before, or instead of, calling
-- parameters: none
-- columns: request_id VARCHAR
select distinct request_id
from attempts
where kind = 'refusal'
order by request_id
