-- one row per ticket
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, source VARCHAR, created_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, status VARCHAR, group_name VARCHAR, url VARCHAR
-- ---
-- name: zendesk_ticket
-- title: Zendesk tickets, as the API gives them or a warehouse holds them (subject and description are not read)
-- table: ticket_facts
-- one_to_one: true
-- detect: [id, created_at, updated_at, status, priority, requester_id, submitter_id, assignee_id]
-- companions: [zendesk_ticket_gone]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.created_at', '$.priority', '$.via.channel', '$.via_channel', '$.status', '$.group_id', '$.url'
    ]) as v
  from raw
),
named as (
  select line, v, nullif(trim(v[1]), '') as ticket_id, instant(v[2], 'UTC') as created_at from extracted
)
select
  line,
  case
    when ticket_id is null then 'no id'
    when created_at is null then 'created_at: ''' || left(coalesce(v[2], ''), 40) || ''' is not a time'
  end as reject,
  ticket_id,
  'zendesk_ticket' as source,
  created_at,
  nullif(lower(v[3]), '') as priority,
  nullif(coalesce(v[4], v[5]), '') as channel,
  if(lower(v[6]) in ('hold', 'on-hold'), 'hold', nullif(lower(v[6]), '')) as status,
  nullif(v[7], '') as group_name,
  nullif(v[8], '') as url
from named
