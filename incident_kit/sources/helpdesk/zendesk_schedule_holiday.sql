-- one row per holiday of a schedule
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, schedule_id VARCHAR, name VARCHAR, starts_on DATE, ends_on DATE
-- ---
-- name: zendesk_schedule_holiday
-- title: Zendesk holidays of schedules in a warehouse (local dates, both ends closed)
-- table: schedule_holidays
-- one_to_one: true
-- detect: [id, schedule_id, name, start_date, end_date]
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.schedule_id', '$.name', '$.start_date', '$.end_date', '$._fivetran_deleted']) as v from raw
),
named as (
  select
    line, v, nullif(v[1], '') as schedule_id, try_cast(left(v[3], 10) as date) as starts_on, try_cast(left(v[4], 10) as date) as ends_on
  from extracted
)
select
  line,
  case
    when lower(v[5]) = 'true' then 'not for us: a holiday that was deleted'
    when schedule_id is null then 'no schedule_id'
    when starts_on is null then 'start_date: ''' || left(coalesce(v[3], ''), 40) || ''' is not a date'
    when ends_on is null then 'end_date: ''' || left(coalesce(v[4], ''), 40) || ''' is not a date'
    when ends_on < starts_on then 'end_date is before start_date'
  end as reject,
  schedule_id, v[2] as name, starts_on, ends_on
from named
