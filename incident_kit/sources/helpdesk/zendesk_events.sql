-- one row per event of an SLA clock
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, at TIMESTAMP WITH TIME ZONE, type VARCHAR, target_s BIGINT, clock VARCHAR, policy VARCHAR, seq BIGINT, elapsed_s BIGINT, elapsed_business_s BIGINT
-- ---
-- name: zendesk_events
-- title: Zendesk ticket metric events (incremental export, as pages, an array or NDJSON)
-- table: sla_events
-- one_to_one: true
-- detect: [ticket_id, metric, instance_id, type, time]
-- answers:
--   sla: "yes: every start, pause, breach and stop of each clock"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.ticket_id', '$.metric', '$.instance_id', '$.type', '$.time', '$.deleted', '$.sla.target', '$.sla.target_in_seconds',
      '$.sla.business_hours', '$.sla.policy.title', '$.sla.policy.id', '$.group_sla.target', '$.group_sla.target_in_seconds',
      '$.group_sla.business_hours', '$.group_sla.policy.title', '$.group_sla.policy.id', '$.status.calendar', '$.status.business'
    ]) as v
  from raw
),
named as (
  select
    line,
    try_cast(v[1] as bigint) as id,
    nullif(v[2], '') as ticket_id,
    nullif(v[3], '') as metric,
    try_cast(v[4] as integer) as instance_no,
    nullif(v[5], '') as type,
    instant(v[6], 'UTC') as "at",
    coalesce(lower(v[7]) = 'true', false) as deleted,
    coalesce(
      try_cast(v[9] as bigint), try_cast(v[8] as bigint) * 60, try_cast(v[14] as bigint), try_cast(v[13] as bigint) * 60
    ) as target_s,
    lower(coalesce(v[10], v[15])) as business_hours,
    coalesce(nullif(v[11], ''), nullif(v[12], ''), nullif(v[16], ''), nullif(v[17], '')) as policy,
    try_cast(v[18] as bigint) * 60 as elapsed_s,
    try_cast(v[19] as bigint) * 60 as elapsed_business_s
  from extracted
)
select
  line,
  case
    when id is null then 'no id'
    when ticket_id is null then 'no ticket_id'
    when metric is null then 'no metric'
    when instance_no is null then 'no instance_id'
    when "at" is null then 'time is not a time'
    when deleted then 'withdrawn by Zendesk (deleted)'
    when type is null or type not in ('activate', 'pause', 'fulfill', 'apply_sla', 'apply_group_sla', 'breach', 'update_status', 'measure')
      then 'type: ''' || left(coalesce(type, ''), 40) || ''' is not an event this format knows'
  end as reject,
  ticket_id,
  case
    when metric = 'reply_time' and instance_no > 1 then 'next_reply'
    when metric = 'reply_time' then 'first_reply'
    else regexp_replace(metric, '_time$', '')
  end as metric,
  instance_no,
  "at",
  -- the first activate or apply of an instance is told from later ones when the events are rolled up
  case type
    when 'activate' then 'start'
    when 'apply_sla' then 'apply'
    when 'apply_group_sla' then 'apply'
    when 'fulfill' then 'stop'
    when 'update_status' then 'status'
    else type
  end as type,
  target_s,
  case when business_hours = 'true' then 'business' when business_hours = 'false' then 'calendar' end as clock,
  policy,
  id as seq,
  elapsed_s,
  elapsed_business_s
from named
