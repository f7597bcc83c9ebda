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
with extracted as materialized (
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
    hash(v) as tie,
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
placed as (
  select
    *,
    row_number() over (partition by ticket_id order by t[1] desc, seq desc, tie) as place,
    bool_or(made is not null) over (partition by ticket_id) as labelled
  from named
  where ticket_id is not null and t[1] is not null and seq is not null
)
select
  line,
  null::varchar as reject,
  ticket_id,
  'resolution' as metric,
  1::integer as instance_no,
  case when t[2] <= t[1] then timezone($zone, t[2]) end as started_at,
  case when state in ('resolved', 'closed') and t[3] <= t[1] then timezone($zone, t[3]) end as stopped_at,
  case when state = 'closed' then not made end as breached,
  case when state is distinct from 'closed' or made is null then 'active' when made then 'met' else 'breached' end as outcome,
  'label' as evidence_level,
  'servicenow' as source
from placed
where place = 1 and labelled and $zone is not null
