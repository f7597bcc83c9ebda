-- one row per ticket
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, source VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, reopens INTEGER, assigned_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: zendesk_ticket_metrics
-- title: Zendesk ticket metrics of the API (whole minutes; no targets)
-- table: ticket_facts
-- one_to_one: true
-- detect: [ticket_id, reply_time_in_minutes, full_resolution_time_in_minutes, created_at, reopens]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.ticket_id', '$.created_at', '$.solved_at', '$.reopens', '$.initially_assigned_at', '$.assigned_at',
      '$.reply_time_in_minutes.calendar', '$.reply_time_in_seconds.calendar'
    ]) as v
  from raw
),
named as (
  select line, v, nullif(v[1], '') as ticket_id, instant(v[2], 'UTC') as created_at from extracted
)
select
  line,
  case
    when ticket_id is null then 'no ticket_id'
    when created_at is null then 'created_at: ''' || left(coalesce(v[2], ''), 40) || ''' is not a time'
    when nullif(v[3], '') is not null and instant(v[3], 'UTC') is null then 'solved_at: ''' || left(v[3], 40) || ''' is not a time'
    when try_cast(v[7] as double) < 0 or try_cast(v[8] as double) < 0 then 'reply time is negative'
    when try_cast(v[4] as integer) < 0 then 'reopens is negative'
  end as reject,
  ticket_id,
  'zendesk_ticket_metrics' as source,
  created_at,
  -- to the minute where the seconds are not given
  try(created_at + to_seconds(coalesce(try_cast(v[8] as double), try_cast(v[7] as double) * 60))) as first_reply_at,
  instant(v[3], 'UTC') as solved_at,
  try_cast(v[4] as integer) as reopens,
  instant(coalesce(nullif(v[5], ''), v[6]), 'UTC') as assigned_at
from named
