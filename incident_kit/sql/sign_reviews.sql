-- one row per suggestion that an agent decided on, or request (decided: false), with the intent of its request, else of its ticket
-- parameters: none
-- columns: decided BOOLEAN, intent VARCHAR, at_us BIGINT, overridden BOOLEAN
select true as decided, coalesce(r.intent, t.intent) as intent, epoch_us(f."at") as at_us, f.overridden
from feedback as f
left join requests as r on r.request_id = f.request_id
left join tickets as t on t.ticket_id = f.ticket_id
where f.overridden is not null and f."at" is not null
union all
select false, intent, epoch_us(arrived_at), false from requests
order by at_us, decided, intent, overridden
