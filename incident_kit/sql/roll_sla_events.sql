-- one row per event of the instances in `touched` whose type depends on the events before it
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, seq BIGINT, type VARCHAR
with ordered as (
  select
    e.*,
    case when e.type in ('start', 'resume') then 'start' when e.type in ('apply', 'target_change') then 'apply' end as family
  from sla_events as e
  join touched as t on t.ticket_id = e.ticket_id and t.metric = e.metric and t.instance_no = e.instance_no
  where e.type in ('start', 'resume', 'apply', 'target_change')
),
numbered as (
  select *, row_number() over (partition by ticket_id, metric, instance_no, family order by "at", seq) as place
  from ordered
)
select
  ticket_id, metric, instance_no, seq,
  case
    when family = 'start' then if(place = 1, 'start', 'resume')
    else if(place = 1, 'apply', 'target_change')
  end as type
from numbered
