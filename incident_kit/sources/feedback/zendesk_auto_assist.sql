-- one row per suggestion of auto assist
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, ticket_id VARCHAR, shown_at TIMESTAMP WITH TIME ZONE, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: zendesk_auto_assist
-- title: Zendesk auto assist, a report of Explore as CSV (its headings are the report's own; map them with columns=, for example auto_assist_status to your heading)
-- table: feedback
-- one_to_one: true
-- detect: [auto_assist_id|Auto assist ID|Auto Assist ID|ai_auto_assists_auto_assist_id, auto_assist_status|Auto assist status|Auto Assist Status|ai_auto_assists_auto_assist_status]
-- answers:
--   overrides: "lower bound: standard actions only, and which request to the model made a suggestion only a mapped request_id says; else join by ticket and time"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.auto_assist_id', '$."Auto assist ID"', '$."Auto Assist ID"', '$.ai_auto_assists_auto_assist_id',
      '$.auto_assist_status', '$."Auto assist status"', '$."Auto Assist Status"', '$.ai_auto_assists_auto_assist_status',
      '$.ticket_id', '$."Ticket ID"', '$."Auto assist ticket ID"', '$.ai_auto_assists_ticket_id',
      '$.shown_at', '$."Auto assist created - Timestamp"', '$."Suggestion created - Timestamp"', '$.ai_auto_assists_created_at',
      '$.decided_at', '$."Auto assist updated - Timestamp"', '$."Suggestion updated - Timestamp"', '$.ai_auto_assists_updated_at',
      '$.request_id', '$.trace_id'
    ]) as v
  from raw
),
named as (
  select
    line,
    nullif(trim(coalesce(v[1], v[2], v[3], v[4])), '') as suggestion_id,
    trim(coalesce(v[5], v[6], v[7], v[8])) as status,
    nullif(trim(coalesce(v[9], v[10], v[11], v[12])), '') as ticket_id,
    nullif(trim(coalesce(v[13], v[14], v[15], v[16])), '') as shown_text,
    nullif(trim(coalesce(v[17], v[18], v[19], v[20])), '') as decided_text,
    coalesce(nullif(trim(v[21]), ''), nullif(trim(v[22]), '')) as request_id
  from extracted
),
timed as (
  select
    *,
    instant(shown_text, $zone) as shown_at,
    instant(decided_text, $zone) as decided_at,
    case lower(coalesce(status, ''))
      when 'accepted' then 'accepted'
      when 'edited' then 'edited'
      when 'dismissed' then 'rejected'
      -- shown, and nobody decided
      when '' then 'ignored'
      when 'suggested' then 'ignored'
      when 'pending' then 'ignored'
    end as decision
  from named
)
select
  line,
  case
    when suggestion_id is null then 'no auto assist ID'
    when decision is null then 'status: ''' || left(status, 40) || ''' is not one of Accepted, Edited, Dismissed'
    when shown_text is not null and shown_at is null
      then 'shown_at: ''' || left(shown_text, 40) || case when zoneless(shown_text) then ''' has no time zone' else ''' is not a time' end
    when decided_text is not null and decided_at is null
      then 'decided_at: ''' || left(decided_text, 40) || case when zoneless(decided_text) then ''' has no time zone' else ''' is not a time' end
    when decided_at < shown_at then 'decided_at is before shown_at'
  end as reject,
  suggestion_id as feedback_id,
  suggestion_id,
  request_id,
  ticket_id,
  shown_at,
  case when decision <> 'ignored' then decided_at end as "at",
  decision,
  case when decision in ('edited', 'rejected') then true when decision = 'accepted' then false end as overridden,
  'zendesk_auto_assist' as source,
  'status=' || coalesce(nullif(left(status, 40), ''), '(none)') as decision_rule
from timed
