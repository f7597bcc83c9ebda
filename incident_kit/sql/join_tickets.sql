-- one row per ticket that the help desk's own exports name, with when it was open
-- parameters: none
-- columns: ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, created_us BIGINT, closed_us BIGINT
with named as (
  select ticket_id, null::timestamptz as "at" from tickets
  union all
  select ticket_id, started_at from sla
  union all
  select ticket_id, "at" from sla_events
  union all
  select ticket_id, "at" from ticket_events
),
every as (
  select ticket_id, min("at") as first_at from named group by ticket_id
)
select
  e.ticket_id, t.intent, t.channel,
  epoch_us(coalesce(t.created_at, e.first_at)) as created_us,
  epoch_us(t.solved_at) as closed_us
from every as e
left join tickets as t on t.ticket_id = e.ticket_id
order by e.ticket_id
