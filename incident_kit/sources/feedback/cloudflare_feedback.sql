-- one row per logged call that somebody rated
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, ticket_id VARCHAR, shown_at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: cloudflare_feedback
-- title: ratings written back onto Cloudflare AI Gateway logs
-- table: feedback
-- answers:
--   overrides: "lower bound: a rating of -1 or 1 by whoever cared to give one; edited answers do not show, nor when it was given"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, ['$.id', '$.event_id', '$.created_at', '$.duration', '$.feedback', '$.metadata']) as v
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    coalesce(nullif(v[2], ''), nullif(v[1], '')) as request_id,
    try(instant(v[3], 'UTC') + to_milliseconds(coalesce(whole(v[4]), 0))) as shown_at,
    try_cast(v[5] as double) as rating,
    v[5] as rating_text,
    json_extract_string(try_cast(v[6] as json), '$.ticket_id') as ticket_id
  from extracted
  where coalesce(v[5], '') not in ('', '0')
)
select
  line,
  case
    when id is null then 'no id'
    when rating is null or rating not in (-1, 1) then 'feedback: ''' || left(rating_text, 40) || ''' is neither 1 nor -1'
  end as reject,
  id as feedback_id,
  id as suggestion_id,
  request_id,
  nullif(ticket_id, '') as ticket_id,
  shown_at,
  case when rating = 1 then 'accepted' else 'rejected' end as decision,
  rating = -1 as overridden,
  'cloudflare' as source,
  'feedback=' || try_cast(rating as integer) as decision_rule
from named
