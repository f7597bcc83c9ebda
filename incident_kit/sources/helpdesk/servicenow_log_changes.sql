-- one row per thing that changed with an entry of an incident's audit log, besides its status
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, actor VARCHAR, seq BIGINT
-- ---
-- name: servicenow_log_changes
-- title: ServiceNow incident audit log, what changed (created, priority, assigned, reopen)
-- table: ticket_events
-- ---
-- An incident that the log does not show from its beginning has no first row to compare with: what it then was is told once.
with extracted as materialized (
  select
    line,
    list_transform(
      json_extract_string(record, [
        '$.number', '$.sys_mod_count', '$.sys_updated_at', '$.sys_updated_by', '$.opened_at', '$.opened_by', '$.priority',
        '$.assignment_group', '$.assigned_to', '$.reopen_count'
      ]),
      lambda x: nullif(nullif(trim(x), '?'), '')
    ) as v
  from raw
),
named as (
  select
    line,
    hash(v) as tie,
    v[1] as ticket_id,
    try_cast(v[2] as bigint) as seq,
    try_strptime(
      v[3], ['%d/%m/%Y %H:%M', '%d-%m-%Y %H:%M', '%d/%m/%Y %H:%M:%S', '%d-%m-%Y %H:%M:%S', '%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M']
    ) as local_at,
    v[4] as actor,
    try_strptime(
      v[5], ['%d/%m/%Y %H:%M', '%d-%m-%Y %H:%M', '%d/%m/%Y %H:%M:%S', '%d-%m-%Y %H:%M:%S', '%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M']
    ) as opened_local,
    v[6] as opener,
    v[7] as priority,
    coalesce(v[9], v[8]) as assignee,
    coalesce(try_cast(v[10] as integer), 0) as reopens
  from extracted
),
compared as (
  select
    *,
    row_number() over entries as place,
    lag(priority) over entries as priority_before,
    lag(assignee) over entries as assignee_before,
    lag(reopens) over entries as reopens_before
  from named
  where ticket_id is not null and local_at is not null and seq is not null
  window entries as (partition by ticket_id order by local_at, seq, tie)
),
told as (
  select
    ticket_id, seq,
    unnest([
      if(place = 1 and opened_local <= local_at, {'type': 'created', 'value': null::varchar, 'local_at': opened_local, 'actor': opener}, null),
      if(priority is distinct from priority_before, {'type': 'priority', 'value': priority, 'local_at': local_at, 'actor': actor}, null),
      if(assignee is distinct from assignee_before, {'type': 'assigned', 'value': assignee, 'local_at': local_at, 'actor': actor}, null),
      if(reopens > reopens_before, {'type': 'reopen', 'value': reopens::varchar, 'local_at': local_at, 'actor': actor}, null)
    ]) as e,
    line
  from compared
  where place = 1 or priority is distinct from priority_before or assignee is distinct from assignee_before or reopens > reopens_before
)
select
  line,
  null::varchar as reject,
  ticket_id,
  timezone($zone, e.local_at) as "at",
  e.type as type,
  e.value as value,
  e.actor as actor,
  seq
from told
where e is not null and $zone is not null
