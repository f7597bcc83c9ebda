-- one row per incident, as the last entry of its audit log leaves it
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, reopens INTEGER, assigned_at TIMESTAMP WITH TIME ZONE, status VARCHAR, group_name VARCHAR
-- ---
-- name: servicenow_log_tickets
-- title: ServiceNow incident audit log, the incidents
-- table: tickets
-- ---
-- resolved_at counts only once an entry that lies after it says that the incident is resolved or closed.
with extracted as materialized (
  select
    line,
    list_transform(
      json_extract_string(record, [
        '$.number', '$.sys_mod_count', '$.sys_updated_at', '$.opened_at', '$.resolved_at', '$.incident_state', '$.priority',
        '$.contact_type', '$.reopen_count', '$.assigned_to', '$.assignment_group'
      ]),
      lambda x: nullif(nullif(trim(x), '?'), '')
    ) as v
  from raw
),
timed as materialized (
  select
    line, v,
    list_transform(
      [v[3], v[4], v[5]],
      lambda x: try_strptime(
        x, ['%d/%m/%Y %H:%M', '%d-%m-%Y %H:%M', '%d/%m/%Y %H:%M:%S', '%d-%m-%Y %H:%M:%S', '%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M']
      )
    ) as t
  from extracted
),
named as (
  select
    line,
    hash(v) as tie,
    v[1] as ticket_id,
    try_cast(v[2] as bigint) as seq,
    t[1] as local_at,
    t[2] as opened_local,
    t[3] as resolved_local,
    case
      when lower(v[6]) = 'new' then 'new'
      when lower(v[6]) in ('active', 'in progress') then 'open'
      when lower(v[6]) = 'awaiting user info' then 'pending'
      when lower(v[6]) like 'awaiting %' or lower(v[6]) = 'on hold' then 'hold'
      when lower(v[6]) = 'resolved' then 'solved'
      when lower(v[6]) in ('closed', 'canceled') then 'closed'
      else 'unknown'
    end as status,
    v[7] as priority,
    lower(v[8]) as channel,
    coalesce(try_cast(v[9] as integer), 0) as reopens,
    v[10] as assignee,
    v[11] as group_name
  from timed
),
placed as (
  select
    *,
    max(local_at) filter (where status not in ('solved', 'closed')) over (partition by ticket_id) as last_open,
    min(local_at) filter (where assignee is not null) over (partition by ticket_id) as assigned_local,
    row_number() over (partition by ticket_id order by local_at desc, seq desc, tie) as place
  from named
  where ticket_id is not null and local_at is not null and seq is not null
),
ended as (
  select ticket_id, min(local_at) as ended_local
  from placed
  where status in ('solved', 'closed') and (last_open is null or local_at >= last_open)
  group by ticket_id
)
select
  p.line,
  null::varchar as reject,
  p.ticket_id,
  case when p.opened_local <= p.local_at then timezone($zone, p.opened_local) end as created_at,
  case
    when p.status in ('solved', 'closed')
      then timezone($zone, coalesce(case when p.resolved_local <= p.local_at then p.resolved_local end, e.ended_local))
  end as solved_at,
  p.priority,
  p.channel,
  p.reopens::integer as reopens,
  timezone($zone, p.assigned_local) as assigned_at,
  p.status,
  p.group_name
from placed as p
left join ended as e on e.ticket_id = p.ticket_id
where p.place = 1 and $zone is not null
