-- one row per escalation, re-opening or breached target of a ticket, in order of time
-- parameters: none
-- columns: ticket_id VARCHAR, at_us BIGINT, what VARCHAR
with counted as (
  select ticket_id, metric, instance_no, min(breached_at) filter (where breached) as "at"
  from sla_verdicts
  where verdict in ('met', 'breached', 'active')
  group by all
),
recorded as (
  select ticket_id, metric, instance_no, min("at") as "at" from sla_events where type = 'breach' group by all
  union all
  select s.ticket_id, s.metric, s.instance_no, s.due_at
  from sla as s
  where s.breached and s.due_at is not null and not exists (
    from sla_events as e
    where e.ticket_id = s.ticket_id and e.metric = s.metric and e.instance_no = s.instance_no and e.type = 'breach'
  )
),
-- a breach is where the clock puts it; where it cannot tell, where the help desk did
breaches as (
  select ticket_id, "at" from counted where "at" is not null
  union all
  select r.ticket_id, r."at" from recorded as r anti join counted as c using (ticket_id, metric, instance_no)
)
select ticket_id, epoch_us("at") as at_us, case type when 'reopen' then 'reopen' else 'escalation' end as what
from ticket_events
where type in ('reopen', 'escalation')
union all
select ticket_id, epoch_us("at"), 'sla' from breaches
order by at_us, ticket_id, what
