-- one row per milestone of a case
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy VARCHAR, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, paused_s BIGINT, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR, schedule_id VARCHAR
-- ---
-- name: salesforce_milestones
-- title: Salesforce CaseMilestone (data loader CSV, or a query's JSON; select MilestoneType.Name beside its id)
-- table: sla
-- detect: [CaseId, StartDate, TargetDate, IsViolated]
-- answers:
--   sla: "yes: each milestone's start, target date and completion"
-- ---
-- TimeSinceTargetInMins and TimeRemainingInMins are texts 'minutes:seconds', not hours and minutes; the dates say the same.
with extracted as materialized (
  select
    line, record,
    list_transform(
      json_extract_string(record, [
        '$.Id', '$.CaseId', '$.MilestoneType.Name', '$."MilestoneType.Name"', '$.MilestoneTypeId', '$.BusinessHoursId', '$.StartDate',
        '$.TargetDate', '$.CompletionDate', '$.IsCompleted', '$.IsViolated', '$.TargetResponseInMins', '$.ElapsedTimeInMins',
        '$.ActualElapsedTimeInMins', '$.StoppedTimeInMins', '$.Case.CaseNumber', '$."Case.CaseNumber"'
      ]),
      lambda x: nullif(trim(x), '')
    ) as v,
    json_exists(record, '$.BusinessHoursId') as says_hours
  from raw
),
named as materialized (
  select
    *,
    v[2] as ticket_id,
    left(coalesce(v[3], v[4], v[5]), 200) as policy,
    coalesce(sla_metric(coalesce(v[3], v[4])), v[5]) as metric,
    list_transform(v[7:9], lambda x: instant(x, $zone)) as t,
    -- whole minutes
    list_transform(v[12:15], lambda x: case when try_cast(x as double) between 0 and 1e9 then round(x::double * 60)::bigint end) as d,
    case lower(v[10]) when 'true' then true when '1' then true when 'false' then false when '0' then false end as completed,
    case lower(v[11]) when 'true' then true when '1' then true when 'false' then false when '0' then false end as violated,
    list_filter([7, 8, 9], lambda place: v[place] is not null and instant(v[place], $zone) is null)[1] as bad
  from extracted
),
ended as (
  select *, coalesce(completed, t[3] is not null) as done from named
)
select
  line,
  case
    when ticket_id is null then 'no CaseId'
    when metric is null then 'no MilestoneTypeId'
    when bad is not null then ['StartDate', 'TargetDate', 'CompletionDate'][bad - 6] || ': ''' || left(v[bad], 40)
      || if(zoneless(v[bad]), ''' has no time zone', ''' is not a time')
    when t[1] is null then 'no StartDate'
    when t[3] < t[1] then 'CompletionDate is before StartDate'
    when completed and t[3] is null then 'IsCompleted is true, and there is no CompletionDate'
    when violated is null then 'IsViolated is neither true nor false'
  end as reject,
  ticket_id,
  metric,
  dense_rank() over (partition by ticket_id, metric order by t[1], policy, v)::integer as instance_no,
  policy,
  d[1] as target_s,
  case when v[6] is not null then 'business' when says_hours then 'calendar' end as clock,
  t[1] as started_at,
  t[2] as due_at,
  t[3] as stopped_at,
  d[4] as paused_s,
  -- what was counted without the time the case stood still; of an open milestone it runs on
  case when done then coalesce(d[3], d[2] - coalesce(d[4], 0)) end as elapsed_s,
  case when done or violated then violated end as breached,
  case when violated then 'breached' when done then 'met' else 'active' end as outcome,
  'instance' as evidence_level,
  'salesforce' as source,
  v[6] as schedule_id
from ended
