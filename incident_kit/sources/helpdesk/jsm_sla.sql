-- one row per cycle of an SLA of a request
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy VARCHAR, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR
-- ---
-- name: jsm_sla
-- title: Jira Service Management, SLA information of requests (completed cycles and the ongoing one)
-- table: sla
-- detect: [name, completedCycles]
-- skips: "SLAs of which no cycle was started"
-- answers:
--   sla: "yes: each cycle's start, breach time and stop"
-- ---
-- The resource does not name its issue but in its own link (or in a key that the pull added). Times are read from epochMillis,
-- durations from millis: their texts depend on the reader's zone and on the calendar's hours in a day.
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.issueKey', '$.key', '$.request', '$._links.self', '$.name', '$.id'
    ]) as v,
    json_extract(record, '$.completedCycles[*]') as completed,
    json_extract(record, '$.ongoingCycle') as ongoing,
    json_type(record, '$.completedCycles') as listed
  from raw
),
named as (
  select
    line,
    coalesce(nullif(v[1], ''), nullif(v[2], ''), nullif(v[3], ''), nullif(regexp_extract(v[4], '/request/([^/?]+)/sla', 1), '')) as ticket_id,
    left(v[5], 200) as policy,
    sla_metric(v[5]) as metric,
    v[6] as id,
    unnest(coalesce(nullif(
      list_transform(coalesce(completed, []), lambda c: {'cycle': c, 'running': false})
      || if(json_type(ongoing) = 'OBJECT', [{'cycle': ongoing, 'running': true}], []),
      []
    ), [null])) as c,
    listed
  from extracted
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
    when ticket_id is null then 'no issue: neither a key nor a link of the request'
    when metric is null then 'no name'
    when listed is distinct from 'ARRAY' then 'completedCycles is not a list'
    when c is null then 'not for us: no cycle was started'
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
