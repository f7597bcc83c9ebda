-- one row per ticket
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, source VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, status VARCHAR
-- ---
-- name: freshdesk_api
-- title: Freshdesk tickets of the API (list or view; with include=stats it says when they were answered and resolved)
-- table: ticket_facts
-- one_to_one: true
-- detect: [id, fr_due_by, due_by, created_at]
-- companions: [freshdesk_api_sla, freshdesk_api_events]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.created_at', '$.stats.first_responded_at', '$.stats.resolved_at', '$.stats.closed_at', '$.stats.reopened_at', '$.status',
      '$.priority', '$.source'
    ]) as v
  from raw
),
named as (
  select
    line, v, nullif(trim(v[1]), '') as ticket_id,
    list_transform(v[2:6], lambda x: instant(x, 'UTC')) as t,
    list_filter(range(1, 6), lambda i: v[i + 1] <> '' and instant(v[i + 1], 'UTC') is null)[1] as bad
  from extracted
)
select
  line,
  case
    when ticket_id is null then 'no id'
    when bad is not null then ['created_at', 'first_responded_at', 'resolved_at', 'closed_at', 'reopened_at'][bad] || ': ''' || left(v[bad + 1], 40) || ''' is not a time'
    when t[1] is null then 'no created_at'
    when t[2] < t[1] then 'first_responded_at is before created_at'
    when t[3] < t[1] then 'resolved_at is before created_at'
  end as reject,
  ticket_id,
  'freshdesk_api' as source,
  t[1] as created_at,
  t[2] as first_reply_at,
  -- a ticket that was opened again is not solved
  case when v[7] in ('4', '5') then coalesce(t[3], t[4]) end as solved_at,
  case v[8] when '1' then 'low' when '2' then 'medium' when '3' then 'high' when '4' then 'urgent' end as priority,
  case v[9]
    when '1' then 'email' when '2' then 'portal' when '3' then 'phone' when '7' then 'chat' when '9' then 'widget' when '10' then 'outbound email'
  end as channel,
  case v[7] when '2' then 'open' when '3' then 'pending' when '4' then 'solved' when '5' then 'closed' else if(v[7] is null, null, 'unknown') end as status
from named
