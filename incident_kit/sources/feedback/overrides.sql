-- one row per suggestion that an agent decided on, or did not
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, ticket_id VARCHAR, shown_at TIMESTAMP WITH TIME ZONE, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, edit_ratio DOUBLE, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: overrides
-- title: agents' decisions on suggestions, as a plain table (suggestion_id, ticket_id, request_id or trace_id, shown_at, decided_at, decision, edit_ratio, source, decision_rule)
-- table: feedback
-- one_to_one: true
-- detect: [suggestion_id, decision, decided_at|shown_at]
-- lacks: ['"feedback_id"']
-- answers:
--   overrides: "yes: what agents did with each suggestion"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.suggestion_id', '$.request_id', '$.trace_id', '$.ticket_id', '$.shown_at', '$.decided_at', '$.decision', '$.edit_ratio',
      '$.source', '$.decision_rule'
    ]) as v
  from raw
),
named as (
  select
    line,
    nullif(trim(v[1]), '') as suggestion_id,
    coalesce(nullif(trim(v[2]), ''), nullif(trim(v[3]), '')) as request_id,
    nullif(trim(v[4]), '') as ticket_id,
    nullif(trim(v[5]), '') as shown_text,
    nullif(trim(v[6]), '') as decided_text,
    case lower(trim(v[7])) when 'dismissed' then 'rejected' when '' then 'unknown' else coalesce(lower(trim(v[7])), 'unknown') end as decision,
    nullif(trim(v[8]), '') as ratio_text,
    try_cast(nullif(trim(v[8]), '') as double) as edit_ratio,
    nullif(trim(v[9]), '') as source,
    nullif(trim(v[10]), '') as decision_rule
  from extracted
),
timed as (
  select *, instant(shown_text, $zone) as shown_at, instant(decided_text, $zone) as decided_at from named
)
select
  line,
  case
    when suggestion_id is null then 'no suggestion_id'
    when decision not in ('accepted', 'edited', 'rejected', 'ignored', 'unknown')
      then 'decision: ''' || left(decision, 40) || ''' is not one of accepted, edited, rejected, ignored, unknown'
    when shown_text is not null and shown_at is null
      then 'shown_at: ''' || left(shown_text, 40) || case when zoneless(shown_text) then ''' has no time zone' else ''' is not a time' end
    when decided_text is not null and decided_at is null
      then 'decided_at: ''' || left(decided_text, 40) || case when zoneless(decided_text) then ''' has no time zone' else ''' is not a time' end
    when decided_at < shown_at then 'decided_at is before shown_at'
    when ratio_text is not null and (edit_ratio is null or edit_ratio < 0) then 'edit_ratio: ''' || left(ratio_text, 40) || ''' is not a share'
  end as reject,
  suggestion_id as feedback_id,
  suggestion_id,
  request_id,
  ticket_id,
  shown_at,
  decided_at as "at",
  decision,
  case when decision in ('edited', 'rejected') then true when decision = 'accepted' then false end as overridden,
  edit_ratio,
  source,
  decision_rule
from timed
