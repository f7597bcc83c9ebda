-- one row per incident whose audit log carries made_sla: a label without a target
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, started_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR
-- ---
-- name: servicenow_log_sla
-- title: ServiceNow incident audit log, made_sla of each incident
-- table: sla
-- answers:
--   sla: "lower bound: made_sla says whether an incident kept its time, not what the time was; nothing can be computed anew"
-- hints:
--   sla: "export task_sla too: it has each clock's start, due time and stop"
-- ---
-- made_sla is true until the incident is closed, whatever happened: only a closed incident has a verdict.
with extracted as (
  select
    line,
    list_transform(
      json_extract_string(record, [
        '$.number', '$.sys_mod_count', '$.sys_updated_at', '$.opened_at', '$.resolved_at', '$.incident_state', '$.made_sla'
      ]),
      lambda x: nullif(nullif(trim(x), '?'), '')
    ) as v
  from raw
),
named as (
  select
    line,
    v[1] as ticket_id,
    try_cast(v[2] as bigint) as seq,
    list_transform(
      [v[3], v[4], v[5]],
      lambda x: try_strptime(
        x, ['%d/%m/%Y %H:%M', '%d-%m-%Y %H:%M', '%d/%m/%Y %H:%M:%S', '%d-%m-%Y %H:%M:%S', '%Y-%m-%d %H:%M:%S', '%Y-%m-%d %H:%M']
      )
    ) as t,
    lower(v[6]) as state,
    case lower(v[7]) when 'true' then true when 'false' then false end as made
  from extracted
),
last_entries as (
  select
    min(line) as line,
    ticket_id,
    arg_max(t[2], (t[1], seq, t[2])) as opened_local,
    max(t[1]) as known_local,
    arg_max(state, (t[1], seq, state)) as state,
    arg_max(made, (t[1], seq, made)) as made,
    arg_max(t[3], (t[1], seq, t[3])) filter (where state in ('resolved', 'closed') and t[3] <= t[1]) as resolved_local
  from named
  where ticket_id is not null and t[1] is not null and seq is not null
  group by ticket_id
  having bool_or(made is not null)
)
select
  line,
  null::varchar as reject,
  ticket_id,
  'resolution' as metric,
  1::integer as instance_no,
  case when opened_local <= known_local then timezone($zone, opened_local) end as started_at,
  case when state in ('resolved', 'closed') then timezone($zone, resolved_local) end as stopped_at,
  case when state = 'closed' then not made end as breached,
  case when state is distinct from 'closed' or made is null then 'active' when made then 'met' else 'breached' end as outcome,
  'label' as evidence_level,
  'servicenow' as source
from last_entries
where $zone is not null
