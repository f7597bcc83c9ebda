-- one row per schedule that a ticket was given
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR
-- ---
-- name: zendesk_ticket_schedule
-- title: Zendesk schedules of tickets in a warehouse
-- table: ticket_events
-- one_to_one: true
-- detect: [ticket_id, schedule_id, created_at]
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.ticket_id', '$.created_at', '$.schedule_id']) as v from raw
),
named as (
  select line, v, nullif(v[1], '') as ticket_id, instant(v[2], 'UTC') as "at", nullif(v[3], '') as value from extracted
)
select
  line,
  case
    when ticket_id is null then 'no ticket_id'
    when value is null then 'no schedule_id'
    when "at" is null then 'created_at: ''' || left(coalesce(v[2], ''), 40) || ''' is not a time'
  end as reject,
  ticket_id, "at", 'schedule' as type, value
from named
