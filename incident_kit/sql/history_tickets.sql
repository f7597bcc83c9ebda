-- one row per ticket of which `told` knows a target
-- parameters: none
-- columns: ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, is_gone BOOLEAN
with named as (
  select distinct ticket_id from told
),
born as (
  select ticket_id, min(created_at) as "at" from tickets group by all
),
lived as (
  select
    ticket_id,
    min("at") filter (where type = 'created') as created_at,
    min("at") filter (where type in ('status', 'comment')) as first_seen,
    bool_or(type in ('merged', 'deleted', 'spam', 'suspended')) as is_gone
  from ticket_events
  group by ticket_id
)
select n.ticket_id, coalesce(b."at", l.created_at, l.first_seen) as created_at, coalesce(l.is_gone, false) as is_gone
from named as n
left join lived as l on l.ticket_id = n.ticket_id
left join born as b on b.ticket_id = n.ticket_id
where coalesce(b."at", l.created_at, l.first_seen) is not null
order by n.ticket_id
