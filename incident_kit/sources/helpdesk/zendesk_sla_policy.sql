-- one row per target of a policy
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, policy_id VARCHAR, metric VARCHAR, priority VARCHAR, target_s BIGINT, clock VARCHAR, from_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: zendesk_sla_policy
-- title: Zendesk SLA policies in a warehouse (targets in minutes, by metric and priority, and since when)
-- table: sla_targets
-- one_to_one: true
-- detect: [sla_policy_id, sla_policy_updated_at, business_hours, metric, priority, target]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, ['$.sla_policy_id', '$.metric', '$.priority', '$.target', '$.business_hours', '$.sla_policy_updated_at']) as v
  from raw
),
named as (
  select
    line, v, nullif(v[1], '') as policy_id, nullif(v[2], '') as metric, try_cast(v[4] as double) as minutes, instant(v[6], 'UTC') as from_at
  from extracted
)
select
  line,
  case
    when policy_id is null then 'no sla_policy_id'
    when metric is null then 'no metric'
    when minutes is null or not (minutes >= 0 and minutes <= 1e7) then 'target: ''' || left(coalesce(v[4], ''), 40) || ''' is no number of minutes'
    when from_at is null then 'sla_policy_updated_at: ''' || left(coalesce(v[6], ''), 40) || ''' is not a time'
  end as reject,
  policy_id,
  if(metric = 'total_resolution_time', 'resolution', regexp_replace(metric, '_time$', '')) as metric,
  nullif(lower(v[3]), '') as priority,
  try((minutes * 60)::bigint) as target_s,
  case lower(v[5]) when 'true' then 'business' when 'false' then 'calendar' end as clock,
  from_at
from named
