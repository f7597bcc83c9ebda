-- one row per conversation
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, reopens INTEGER, csat DOUBLE, assigned_at TIMESTAMP WITH TIME ZONE, status VARCHAR
-- ---
-- name: intercom
-- title: Intercom conversations of the API (times in epoch seconds)
-- table: tickets
-- one_to_one: true
-- detect: [id, created_at, state, statistics]
-- companions: [intercom_sla, intercom_sla_events, intercom_events, intercom_actors]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.created_at', '$.state', '$.priority', '$.source.type', '$.statistics.first_admin_reply_at', '$.statistics.last_close_at',
      '$.statistics.first_assignment_at', '$.statistics.count_reopens', '$.conversation_rating.rating'
    ]) as v
  from raw
),
named as (
  select *, nullif(trim(v[1]), '') as ticket_id, list_transform([v[2], v[6], v[7], v[8]], lambda x: instant(x, 'UTC')) as t from extracted
)
select
  line,
  case
    when ticket_id is null then 'no id'
    when t[1] is null then 'created_at is not a time'
    when v[6] is not null and t[2] is null then 'first_admin_reply_at is not a time'
    when v[7] is not null and t[3] is null then 'last_close_at is not a time'
    when t[2] < t[1] then 'first_admin_reply_at is before created_at'
  end as reject,
  ticket_id,
  t[1] as created_at,
  t[2] as first_reply_at,
  case when v[3] = 'closed' then t[3] end as solved_at,
  left(v[4], 40) as priority,
  left(v[5], 40) as channel,
  case when try_cast(v[9] as integer) >= 0 then v[9]::integer end as reopens,
  case when try_cast(v[10] as double) between 1 and 5 then v[10]::double end as csat,
  t[4] as assigned_at,
  case v[3] when 'open' then 'open' when 'snoozed' then 'pending' when 'closed' then 'closed' else if(v[3] is null, null, 'unknown') end as status
from named
