-- one row per request that somebody rated
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, ticket_id VARCHAR, shown_at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: helicone_feedback
-- title: ratings in the scores of Helicone requests
-- table: feedback
-- answers:
--   overrides: "lower bound: a thumb up or down by whoever cared to give one; edited answers do not show, nor when it was given"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.request_id', '$.request_created_at', '$.latency', '$.scores', '$.updated_at', '$.properties', '$.status'
    ]) as v
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as request_id,
    try(instant(v[2], 'UTC') + to_milliseconds(coalesce(whole(v[3]), 0))) as shown_at,
    json_extract_string(try_cast(v[4] as json), '$."helicone-score-feedback"') as rating,
    instant(v[5], 'UTC') as updated_at,
    json_extract_string(try_cast(v[6] as json), ['$."Ticket-Id"', '$.ticket_id']) as tickets
  from extracted
),
newest as (
  select *, updated_at < max(updated_at) over (partition by request_id) as outdated from named
)
select
  line,
  case
    when request_id is null then 'no request_id'
    when lower(rating) not in ('0', '1', 'true', 'false') then 'the rating ''' || left(rating, 40) || ''' is neither 1 nor 0'
  end as reject,
  request_id as feedback_id,
  request_id as suggestion_id,
  request_id,
  list_filter(tickets, lambda x: x <> '')[1] as ticket_id,
  shown_at,
  case when lower(rating) in ('1', 'true') then 'accepted' else 'rejected' end as decision,
  lower(rating) in ('0', 'false') as overridden,
  'helicone' as source,
  'helicone-score-feedback=' || left(rating, 5) as decision_rule
from newest
where rating is not null and not coalesce(outdated, false)
