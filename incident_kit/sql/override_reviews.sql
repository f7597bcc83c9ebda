-- one row per suggestion that an agent decided on, with the intent of its request where that is known
-- parameters: none
-- columns: request_id VARCHAR, intent VARCHAR, at_us BIGINT, overridden BOOLEAN
select f.request_id, r.intent, epoch_us(f."at") as at_us, f.overridden
from feedback as f
left join requests as r on r.request_id = f.request_id
where f.overridden is not null and f."at" is not null
