-- one row per entry of an incident's audit log
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, actor VARCHAR, seq BIGINT
-- ---
-- name: servicenow_log
-- title: ServiceNow incident audit log (one row per update, with the incident's fields as they were; times day first)
-- table: ticket_events
-- detect: [number, incident_state, sys_mod_count, sys_updated_at, reopen_count, made_sla]
-- companions: [servicenow_log_changes, servicenow_log_tickets, servicenow_log_sla]
-- ---
-- Only the fields of the update itself are read here: resolved_at, closed_at, resolved_by and closed_code stand on every
-- row of an incident, the first one too, and would tell the future.
with extracted as materialized (
  select
    line,
    list_transform(
      json_extract_string(record, ['$.number', '$.incident_state', '$.sys_mod_count', '$.sys_updated_at', '$.sys_updated_by']),
      lambda x: nullif(nullif(trim(x), '?'), '')
    ) as v
  from raw
),
named as (
  select
    line,
    v[1] as ticket_id,
    v[2] as state,
    try_cast(v[3] as bigint) as seq,
    v[4] as given,
    try_strptime(
      v[4], ['%d/%m/%Y %H:%M', '%d-%m-%Y %H:%M', '%d/%m/%Y %H:%M:%S', '%d-%m-%Y %H:%M:%S', '%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M']
    ) as local_at,
    v[5] as actor
  from extracted
),
worded as (
  select
    *,
    timezone($zone, local_at) as "at",
    case lower(state)
      when 'new' then 'new'
      when 'active' then 'open'
      when 'in progress' then 'open'
      when 'awaiting user info' then 'pending'
      when 'awaiting vendor' then 'hold'
      when 'awaiting problem' then 'hold'
      when 'awaiting evidence' then 'hold'
      when 'on hold' then 'hold'
      when 'resolved' then 'solved'
      when 'closed' then 'closed'
      when 'canceled' then 'closed'
      else 'unknown'
    end as status
  from named
),
compared as (
  -- an entry that is there twice is the same entry: both have the same one before
  select
    *,
    last_value(status) over (
      partition by ticket_id order by local_at, seq, status groups between 1 preceding and 1 preceding
    ) as status_before
  from worded
)
select
  line,
  case
    when ticket_id is null then 'no number'
    when given is null then 'no sys_updated_at'
    when local_at is null then 'sys_updated_at: ''' || left(given, 40) || ''' is not a time with the day first'
    when seq is null then 'no sys_mod_count'
    when state is null then 'no incident_state'
    when $zone is null then 'sys_updated_at: ''' || left(given, 40) || ''' has no time zone'
  end as reject,
  ticket_id,
  "at",
  case when status_before is not distinct from status then 'update' else 'status' end as type,
  case when status_before is not distinct from status then null else status end as value,
  actor,
  seq
from compared
