-- one row per SLA metric of a ticket
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy VARCHAR, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR
-- ---
-- name: zendesk_explore_sla
-- title: Zendesk Explore report on SLAs (its columns are its maker's choice and may be mapped)
-- table: sla
-- detect: ["ticket_id|Ticket ID", "sla_metric|SLA metric", "completion_min|SLA metric completion time (min)", "target_min|SLA metric target time (min)"]
-- answers:
--   sla: "lower bound: whole minutes and no pauses: each target's elapsed time, not how it came about"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.ticket_id', '$."Ticket ID"', '$.sla_metric', '$."SLA metric"', '$.completion_min', '$."SLA metric completion time (min)"',
      '$.target_min', '$."SLA metric target time (min)"', '$.sla_policy', '$."SLA policy"', '$.sla_status', '$."SLA target status"',
      '$.business_hours', '$.started_at', '$.stopped_at', '$.instance_no'
    ]) as w
  from raw
),
picked as (
  select
    line,
    nullif(trim(coalesce(w[1], w[2])), '') as ticket_id,
    nullif(trim(coalesce(w[3], w[4])), '') as said_metric,
    nullif(trim(coalesce(w[5], w[6])), '') as completion,
    nullif(trim(coalesce(w[7], w[8])), '') as target,
    nullif(trim(coalesce(w[9], w[10])), '') as policy,
    lower(nullif(trim(coalesce(w[11], w[12])), '')) as status,
    lower(trim(w[13])) as business,
    nullif(trim(w[14]), '') as started,
    nullif(trim(w[15]), '') as stopped,
    w[16] as instance
  from extracted
),
named as (
  select
    *,
    regexp_replace(regexp_replace(sla_metric(said_metric), '_time$', ''), '^total_resolution$', 'resolution') as metric,
    plain_minutes(completion) as completion_min,
    plain_minutes(target) as target_min,
    instant(started, $zone) as started_at,
    instant(stopped, $zone) as stopped_at
  from picked
),
read as (
  select
    *,
    case
      when ticket_id is null then 'no ticket_id'
      when metric is null then 'no sla_metric'
      when completion is not null and not coalesce(completion_min between 0 and 1e7, false) then 'completion_min: ''' || left(completion, 40) || ''' is no number of minutes'
      when target is not null and not coalesce(target_min between 0 and 1e7, false) then 'target_min: ''' || left(target, 40) || ''' is no number of minutes'
      when started is not null and started_at is null then 'started_at: ''' || left(started, 40) || if(zoneless(started), ''' has no time zone', ''' is not a time')
      when stopped is not null and stopped_at is null then 'stopped_at: ''' || left(stopped, 40) || if(zoneless(stopped), ''' has no time zone', ''' is not a time')
      when status is not null and status not in ('achieved', 'met', 'fulfilled', 'breached', 'active', 'active breached', 'paused', 'cancelled')
        then 'sla_status: ''' || left(status, 40) || ''' is not one of achieved, breached, active, paused, cancelled'
    end as reject
  from named
)
select
  line, reject, ticket_id, metric,
  -- without its number, a ticket's rows of one metric are numbered by what they say
  coalesce(
    try_cast(instance as integer),
    row_number() over (partition by ticket_id, metric, reject is null order by started_at, stopped_at, completion_min, target_min, policy, status)
  )::integer as instance_no,
  policy,
  try((target_min * 60)::bigint) as target_s,
  case when business in ('true', 'yes', '1') then 'business' when business in ('false', 'no', '0') then 'calendar' end as clock,
  started_at, stopped_at,
  try((completion_min * 60)::bigint) as elapsed_s,
  case when status in ('breached', 'active breached') then true when status in ('achieved', 'met', 'fulfilled') then false end as breached,
  case
    when status in ('breached', 'active breached') then 'breached'
    when status in ('achieved', 'met', 'fulfilled') then 'met'
    when status = 'cancelled' then 'cancelled'
    when status is not null or completion_min is null then 'active'
  end as outcome,
  if(completion_min is null, 'label', 'instance') as evidence_level,
  'zendesk' as source
from read
