-- one row per cycle of an SLA that a field of an issue holds
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy VARCHAR, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR
-- ---
-- name: jsm_issues_sla
-- title: Jira issues, the SLA fields of Jira Service Management in them
-- table: sla
-- answers:
--   sla: "yes: each cycle's start, breach time and stop"
-- ---
with extracted as (
  select line, nullif(record ->> '$.key', '') as ticket_id, try_cast(json_extract(record, '$.fields') as map(varchar, json)) as fields from raw
),
-- an SLA is any field that holds cycles, whatever the site's number for it
found as (
  select line, ticket_id, unnest(list_filter(map_values(fields), lambda field: json_type(field, '$.completedCycles') = 'ARRAY')) as record
  from extracted
  where ticket_id is not null
),
named as (
  select
    line, ticket_id,
    left(record ->> '$.name', 200) as policy,
    sla_metric(record ->> '$.name') as metric,
    record ->> '$.id' as id,
    unnest(
      list_transform(json_extract(record, '$.completedCycles[*]'), lambda c: {'cycle': c, 'running': false})
      || if(json_type(record, '$.ongoingCycle') = 'OBJECT', [{'cycle': json_extract(record, '$.ongoingCycle'), 'running': true}], [])
    ) as c
  from found
),
timed as materialized (
  select
    *,
    jsm_times(c.cycle) as t,
    jsm_lengths(c.cycle) as d,
    case json_extract_string(c.cycle, '$.breached') when 'true' then true when 'false' then false end as flag,
    json_extract_string(c.cycle, '$.withinCalendarHours') as within
  from named
)
select
  line,
  case
    when metric is null then 'no name'
    when t[1] is null then 'startTime is not a time'
    when not c.running and t[2] is null then 'stopTime is not a time'
    when t[2] < t[1] then 'stopTime is before startTime'
    when flag is null then 'breached is neither true nor false'
  end as reject,
  ticket_id,
  metric,
  dense_rank() over (partition by ticket_id, metric order by t[1], t[2], id, c.running, c.cycle::varchar)::integer as instance_no,
  policy,
  d[1] // 1000 as target_s,
  -- out of its calendar's hours now: it has some; nothing else tells that it has none
  case when within = 'false' then 'business' end as clock,
  t[1] as started_at,
  t[3] as due_at,
  case when not c.running then t[2] end as stopped_at,
  case when not c.running then d[2] // 1000 end as elapsed_s,
  case when not c.running or flag then flag end as breached,
  case when flag then 'breached' when c.running then 'active' else 'met' end as outcome,
  'instance' as evidence_level,
  'jira' as source
from timed
