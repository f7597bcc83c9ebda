-- one row per ticket whose own history names a target
-- parameters: $source VARCHAR
-- columns: ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, is_gone BOOLEAN
with told as (
  select distinct e.ticket_id
  from ticket_events as e
  left join loads as l on l.load_id = e.load_id
  where e.type = 'target' and coalesce(nullif(split_part(l.source, '_', 1), 'canonical'), '') = $source
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
select t.ticket_id, coalesce(b."at", l.created_at, l.first_seen) as created_at, coalesce(l.is_gone, false) as is_gone
from told as t
left join lived as l on l.ticket_id = t.ticket_id
left join born as b on b.ticket_id = t.ticket_id
where coalesce(b."at", l.created_at, l.first_seen) is not null
order by t.ticket_id
