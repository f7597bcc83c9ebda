-- one row per escalation, re-opening or breached target of a ticket, in order of time
-- parameters: none
-- columns: ticket_id VARCHAR, at_us BIGINT, what VARCHAR
with breaches as (
  select ticket_id, metric, instance_no, min("at") as "at" from sla_events where type = 'breach' group by all
)
select ticket_id, epoch_us("at") as at_us, case type when 'reopen' then 'reopen' else 'escalation' end as what
from ticket_events
where type in ('reopen', 'escalation')
union all
select ticket_id, epoch_us("at"), 'sla' from breaches
union all
select s.ticket_id, epoch_us(s.due_at), 'sla'
from sla as s
where s.breached and s.due_at is not null and not exists (
  from breaches as b where b.ticket_id = s.ticket_id and b.metric = s.metric and b.instance_no = s.instance_no
)
order by at_us, ticket_id, what
