-- one row per request, with what may tie it to a ticket
-- parameters: none
-- columns: request_id VARCHAR, conversation_id VARCHAR, ticket_id VARCHAR, suggested VARCHAR[], intent VARCHAR, channel VARCHAR, arrived_us BIGINT
with suggested as (
  select request_id, list(distinct ticket_id order by ticket_id) as tickets
  from feedback
  where request_id is not null and ticket_id is not null
  group by request_id
)
select
  r.request_id, r.conversation_id, r.ticket_id, coalesce(s.tickets, []) as suggested, r.intent, r.channel,
  epoch_us(r.arrived_at) as arrived_us
from requests as r
left join suggested as s on s.request_id = r.request_id
order by arrived_us, r.request_id
