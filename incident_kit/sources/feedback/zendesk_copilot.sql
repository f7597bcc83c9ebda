-- one row per suggestion of Copilot, without auto assist
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, ticket_id VARCHAR, shown_at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: zendesk_copilot
-- title: Zendesk Copilot suggestions, a report of Explore as CSV (its headings are the report's own; map them with columns=, for example copilot_suggestion_accepted to your heading)
-- table: feedback
-- one_to_one: true
-- skips: suggested similar tickets, which count as accepted when the pointer rests on them
-- detect: [copilot_suggestion_id|Suggestion ID, copilot_suggestion_accepted|Suggestion accepted|Suggestions accepted|Accepted]
-- answers:
--   overrides: "lower bound: an accepted suggestion may have been edited afterwards, and nothing says that one was rejected rather than ignored"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.copilot_suggestion_id', '$."Suggestion ID"', '$.copilot_suggestion_accepted', '$."Suggestion accepted"',
      '$."Suggestions accepted"', '$.Accepted', '$.copilot_suggestion_type', '$."Suggestion type"', '$.ticket_id', '$."Ticket ID"',
      '$.shown_at', '$."Suggestion created - Timestamp"', '$.request_id', '$.trace_id'
    ]) as v
  from raw
),
named as (
  select
    line,
    nullif(trim(coalesce(v[1], v[2])), '') as suggestion_id,
    lower(trim(coalesce(v[3], v[4], v[5], v[6], ''))) as said,
    coalesce(v[7], v[8], '') as type,
    nullif(trim(coalesce(v[9], v[10])), '') as ticket_id,
    nullif(trim(coalesce(v[11], v[12])), '') as shown_text,
    coalesce(nullif(trim(v[13]), ''), nullif(trim(v[14]), '')) as request_id
  from extracted
),
timed as (
  select
    *,
    instant(shown_text, $zone) as shown_at,
    case when said in ('true', 'yes', '1', 'accepted') then 'accepted' when said in ('false', 'no', '0', '', 'not accepted') then 'ignored' end as decision
  from named
)
select
  line,
  case
    when suggestion_id is null then 'no suggestion ID'
    when regexp_matches(type, '(?i)similar.*ticket') then 'not for us: a similar ticket counts as accepted when the pointer rests on it'
    when decision is null then 'accepted: ''' || left(said, 40) || ''' is neither yes nor no'
    when shown_text is not null and shown_at is null
      then 'shown_at: ''' || left(shown_text, 40) || case when zoneless(shown_text) then ''' has no time zone' else ''' is not a time' end
  end as reject,
  suggestion_id as feedback_id,
  suggestion_id,
  request_id,
  ticket_id,
  shown_at,
  decision,
  case when decision = 'accepted' then false end as overridden,
  'zendesk_copilot' as source,
  'accepted=' || left(said, 40) as decision_rule
from timed
