-- one row per SLA attached to a task
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy VARCHAR, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, paused_s BIGINT, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR, schedule_id VARCHAR
-- ---
-- name: servicenow_task_sla
-- title: ServiceNow task_sla (Table API or list export; times of the API are UTC, of a list export the user's own)
-- table: sla
-- detect: [sla|sla.name, stage, start_time, planned_end_time|end_time, has_breached]
-- answers:
--   sla: "yes: each clock's start, breach time and end"
-- ---
-- A value may be plain, {display_value, value} or {link, value}; a column may be dot-walked (task.number).
-- Durations are times counted from 1970. What is counted of an open row is as old as the last scheduled job: it is not taken.
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$."task.number"', '$."task"', '$."sla.name"', '$."sla"', '$."sla.duration"', '$."stage"', '$."schedule.name"',
      '$."schedule"', '$."has_breached"', '$."start_time"', '$."end_time"', '$."planned_end_time"',
      '$."original_breach_time"', '$."duration"', '$."business_duration"', '$."pause_duration"',
      '$."business_pause_duration"', '$."sys_id"', '$."sla.target"', '$."business_percentage"'
    ]) as plain,
    json_extract_string(record, [
      '$."task.number".value', '$."task".value', '$."sla.name".value', '$."sla".value', '$."sla.duration".value',
      '$."stage".value', '$."schedule.name".value', '$."schedule".value', '$."has_breached".value',
      '$."start_time".value', '$."end_time".value', '$."planned_end_time".value', '$."original_breach_time".value',
      '$."duration".value', '$."business_duration".value', '$."pause_duration".value',
      '$."business_pause_duration".value', '$."sys_id".value', '$."sla.target".value', '$."business_percentage".value'
    ]) as inner_value,
    json_extract_string(record, [
      '$."task.number".display_value', '$."task".display_value', '$."sla.name".display_value', '$."sla".display_value',
      '$."sla.duration".display_value', '$."stage".display_value', '$."schedule.name".display_value',
      '$."schedule".display_value', '$."has_breached".display_value', '$."start_time".display_value',
      '$."end_time".display_value', '$."planned_end_time".display_value', '$."original_breach_time".display_value',
      '$."duration".display_value', '$."business_duration".display_value', '$."pause_duration".display_value',
      '$."business_pause_duration".display_value', '$."sys_id".display_value', '$."sla.target".display_value', '$."business_percentage".display_value'
    ]) as shown,
    json_exists(record, '$.schedule') or json_exists(record, '$."schedule.name"') as says_schedule
  from raw
),
-- of a time the value is in UTC, and what is shown in the user's zone; of a reference the value is a key
chosen as (
  select
    line, says_schedule,
    list_transform(
      range(1, 21),
      lambda i: list_filter(
        if(i between 10 and 17 or i = 20, [inner_value[i], shown[i], plain[i]], [shown[i], inner_value[i], plain[i]]),
        lambda x: trim(x) <> '' and not starts_with(x, '{')
      )[1]
    ) as c
  from extracted
),
picked as materialized (
  select
    line, says_schedule,
    [
      coalesce(c[1], c[2]), coalesce(c[3], c[4]), c[5], c[6], coalesce(c[7], c[8]), c[9],
      c[10], c[11], c[12], c[13], c[14], c[15], c[16], c[17], c[18], c[19], c[20]
    ] as v
  from chosen
),
timed as materialized (
  select
    *,
    list_transform(v[7:10], lambda x: instant(x, $zone)) as t,
    -- seconds since 1970 as a time, as words, or as a plain number
    list_transform(
      [v[3], v[11], v[12], v[13], v[14]],
      lambda x: case
        when regexp_full_match(x, '[0-9]{1,12}') then x::bigint
        when try_strptime(x, '%Y-%m-%d %H:%M:%S') is not null then epoch(try_strptime(x, '%Y-%m-%d %H:%M:%S'))::bigint
        when regexp_full_match(x, '(?i)\s*([0-9]{1,9} (days?|hours?|minutes?|seconds?)\s*)+') then
          coalesce(try_cast(regexp_extract(x, '(?i)([0-9]+) day', 1) as bigint), 0) * 86400
          + coalesce(try_cast(regexp_extract(x, '(?i)([0-9]+) hour', 1) as bigint), 0) * 3600
          + coalesce(try_cast(regexp_extract(x, '(?i)([0-9]+) minute', 1) as bigint), 0) * 60
          + coalesce(try_cast(regexp_extract(x, '(?i)([0-9]+) second', 1) as bigint), 0)
      end
    ) as d
  from picked
),
named as (
  select
    line, v, t, d,
    trim(v[1]) as ticket_id,
    case
      when lower(v[16]) = 'response' then 'first_reply'
      when lower(v[16]) = 'resolution' then 'resolution'
      -- the name goes with the definition: 'Priority 2 response (1 hour)'
      when regexp_matches(v[2], '(?i)\bresponse\b') and not regexp_matches(v[2], '(?i)\bresolution\b') then 'first_reply'
      when regexp_matches(v[2], '(?i)\bresolution\b') and not regexp_matches(v[2], '(?i)\bresponse\b') then 'resolution'
      else sla_metric(v[2])
    end as metric,
    left(v[2], 200) as policy,
    case when v[5] is not null then 'business' when says_schedule then 'calendar' end as clock,
    replace(lower(trim(v[4])), ' ', '_') as stage,
    case lower(v[6]) when 'true' then true when '1' then true when 'false' then false when '0' then false end as has_breached,
    list_filter([7, 8, 9], lambda place: v[place] is not null and t[place - 6] is null)[1] as bad,
    -- a share of the target, rounded up to two decimals, with the seconds it is of: between which two the target lies
    case when try_cast(v[17] as double) > 0.01 and d[3] > 1 then [(d[3] - 1) * 100 / v[17]::double, (d[3] + 1) * 100 / (v[17]::double - 0.01)] end as b
  from timed
)
select
  line,
  case
    when ticket_id is null then 'no task'
    when metric is null then 'no sla'
    when bad is not null then ['start_time', 'end_time', 'planned_end_time'][bad - 6] || ': ''' || left(v[bad], 40)
      || if(zoneless(v[bad]), ''' has no time zone', ''' is not a time')
    when t[1] is null then 'no start_time'
    when t[2] < t[1] then 'end_time is before start_time'
    when t[2] is null and stage in ('completed', 'achieved') then 'stage is completed, and there is no end_time'
    when stage is null or stage not in ('in_progress', 'paused', 'completed', 'cancelled', 'breached', 'achieved')
      then 'stage: ''' || left(coalesce(stage, ''), 40) || ''' is not a stage this format knows'
  end as reject,
  ticket_id,
  metric,
  dense_rank() over (partition by ticket_id, metric order by t[1], policy, v)::integer as instance_no,
  policy,
  case
    when d[1] > 0 then d[1]
    when clock = 'calendar' and t[4] > t[1] then (epoch_us(t[4]) - epoch_us(t[1])) // 1000000
    -- targets are whole minutes: taken where only one fits
    when clock = 'business' and b[2] - b[1] < 60 and ceil(b[1] / 60) * 60 <= b[2] then (ceil(b[1] / 60) * 60)::bigint
  end as target_s,
  clock,
  t[1] as started_at,
  t[3] as due_at,
  case when stage in ('completed', 'achieved', 'cancelled') then t[2] end as stopped_at,
  case when clock = 'business' then coalesce(d[5], d[4]) else d[4] end as paused_s,
  case
    when stage not in ('completed', 'achieved') then null
    when clock = 'business' then d[3]
    -- without a schedule both are the same, or the business one is left empty or 0
    else coalesce(d[2], nullif(d[3], 0))
  end as elapsed_s,
  case
    when stage = 'cancelled' then null
    when stage = 'breached' or has_breached then true
    when stage in ('completed', 'achieved') then has_breached
  end as breached,
  case
    when stage = 'cancelled' then 'cancelled'
    when stage = 'breached' or has_breached then 'breached'
    when stage in ('in_progress', 'paused') then 'active'
    when has_breached = false then 'met'
  end as outcome,
  'instance' as evidence_level,
  'servicenow' as source,
  left(v[5], 200) as schedule_id
from named
