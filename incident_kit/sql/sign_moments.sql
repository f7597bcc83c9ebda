-- one row per new ticket or escalation, with the ticket's intent as the help desk or else its first request has it
-- parameters: none
-- columns: what VARCHAR, ticket_id VARCHAR, intent VARCHAR, at_us BIGINT, after_us BIGINT
with asked as (
  select ticket_id, arg_min(intent, (arrived_at, request_id)) filter (where intent is not null) as intent
  from requests
  where ticket_id is not null
  group by ticket_id
),
moments as (
  select 'contacts' as what, ticket_id, created_at as "at" from tickets where created_at is not null
  union all
  select 'escalations', ticket_id, "at" from ticket_events where type = 'escalation'
)
select
  m.what, m.ticket_id, coalesce(t.intent, a.intent) as intent, epoch_us(m."at") as at_us,
  epoch_us(m."at") - epoch_us(t.created_at) as after_us
from moments as m
left join tickets as t on t.ticket_id = m.ticket_id
left join asked as a on a.ticket_id = m.ticket_id
order by at_us, m.ticket_id, what
