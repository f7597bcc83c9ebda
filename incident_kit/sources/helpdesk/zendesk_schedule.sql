-- one row per opening window of a schedule
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, schedule_id VARCHAR, starts_minute INTEGER, ends_minute INTEGER
-- ---
-- name: zendesk_schedule
-- title: Zendesk schedules in a warehouse (a row a window, in minutes from Sunday)
-- table: schedule_windows
-- one_to_one: true
-- detect: [id, name, start_time, end_time, time_zone]
-- companions: [zendesk_schedule_name]
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.id', '$.start_time', '$.end_time', '$._fivetran_deleted']) as v from raw
),
named as (
  select
    line, nullif(v[1], '') as schedule_id, try_cast(v[2] as integer) as starts_minute, try_cast(v[3] as integer) as ends_minute,
    coalesce(lower(v[4]) = 'true', false) as is_deleted
  from extracted
)
select
  line,
  case
    when is_deleted then 'not for us: a window that was deleted'
    when schedule_id is null then 'no id'
    when starts_minute is null or ends_minute is null then 'start_time and end_time are not minutes'
    when starts_minute < 0 or starts_minute >= 10080 or ends_minute <= starts_minute or ends_minute - starts_minute > 10080
      then 'from minute ' || starts_minute || ' to ' || ends_minute || ' is no window of a week'
  end as reject,
  schedule_id, starts_minute, ends_minute
from named
