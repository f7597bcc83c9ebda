-- one row per comment
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, actor VARCHAR, public BOOLEAN, seq BIGINT
-- ---
-- name: zendesk_comment
-- title: Zendesk ticket comments in a warehouse (who and when; the text is not read)
-- table: ticket_events
-- one_to_one: true
-- detect: [id, ticket_id, user_id, created, public]
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.id', '$.ticket_id', '$.created', '$.user_id', '$.public']) as v from raw
),
named as (
  select line, v, try_cast(v[1] as bigint) as seq, nullif(v[2], '') as ticket_id, instant(v[3], 'UTC') as "at" from extracted
)
select
  line,
  case
    when seq is null then 'no id'
    when ticket_id is null then 'no ticket_id'
    when "at" is null then 'created: ''' || left(coalesce(v[3], ''), 40) || ''' is not a time'
    when lower(v[5]) not in ('true', 'false') or v[5] is null then 'public: ''' || left(coalesce(v[5], ''), 40) || ''' is not true or false'
  end as reject,
  ticket_id, "at", 'comment' as type, nullif(v[4], '') as actor, lower(v[5]) = 'true' as public, seq
from named
