-- one row per incident, as the last entry of its audit log leaves it
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, reopens INTEGER, assigned_at TIMESTAMP WITH TIME ZONE, status VARCHAR, group_name VARCHAR
-- ---
-- name: servicenow_log_tickets
-- title: ServiceNow incident audit log, the incidents
-- table: tickets
-- ---
-- resolved_at counts only once an entry that lies after it says that the incident is resolved or closed.
with extracted as (
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
timed as (
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
    max(local_at) filter (where status not in ('solved', 'closed')) over (partition by ticket_id) as last_open
  from named
  where ticket_id is not null and local_at is not null and seq is not null
),
last_entries as (
  select
    min(line) as line,
    ticket_id,
    arg_max(opened_local, (local_at, seq, opened_local)) as opened_local,
    max(local_at) as known_local,
    arg_max(status, (local_at, seq, status)) as status,
    arg_max(resolved_local, (local_at, seq, resolved_local)) filter (where status in ('solved', 'closed') and resolved_local <= local_at) as resolved_local,
    min(local_at) filter (where status in ('solved', 'closed') and (last_open is null or local_at >= last_open)) as told_local,
    min(local_at) filter (where assignee is not null) as assigned_local,
    arg_max(priority, (local_at, seq, priority)) as priority,
    arg_max(channel, (local_at, seq, channel)) as channel,
    max(reopens) as reopens,
    arg_max(group_name, (local_at, seq, group_name)) as group_name
  from placed
  group by ticket_id
)
select
  line,
  null::varchar as reject,
  ticket_id,
  case when opened_local <= known_local then timezone($zone, opened_local) end as created_at,
  case when status in ('solved', 'closed') then timezone($zone, coalesce(resolved_local, told_local)) end as solved_at,
  priority,
  channel,
  reopens::integer as reopens,
  timezone($zone, assigned_local) as assigned_at,
  status,
  group_name
from last_entries
where $zone is not null
