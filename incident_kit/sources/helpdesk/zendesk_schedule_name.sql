-- one row per schedule
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, schedule_id VARCHAR, name VARCHAR, zone VARCHAR, is_default BOOLEAN
-- ---
-- name: zendesk_schedule_name
-- title: Zendesk schedules, their zones, and which is the oldest (where a ticket names none)
-- table: schedules
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.id', '$.name', '$.time_zone', '$._fivetran_deleted', '$.created_at']) as v from raw
),
named as (
  select
    nullif(v[1], '') as schedule_id, v[2] as name, nullif(v[3], '') as zone, instant(v[5], 'UTC') as created_at, line
  from extracted
  where lower(v[4]) is distinct from 'true'
),
each as (
  select schedule_id, min(line) as line, min(name) as name, min(zone) as zone, min(created_at) as created_at
  from named
  where schedule_id is not null
  group by schedule_id
)
select
  line,
  if(zone is null, 'no time_zone', null) as reject,
  schedule_id, name, zone,
  case when created_at is not null then created_at = min(created_at) over () end as is_default
from each
