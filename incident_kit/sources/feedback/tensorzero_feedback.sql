-- one row per boolean or float feedback on an inference or an episode
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, edit_ratio DOUBLE, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: tensorzero_feedback
-- title: TensorZero BooleanMetricFeedback and FloatMetricFeedback
-- table: feedback
-- one_to_one: true
-- zone: UTC
-- skips: metrics whose name says nothing of what a person did with the answer
-- detect: [id, target_id, metric_name, value]
-- answers:
--   overrides: "lower bound: metrics named accepted, approved, overridden, rejected, edited, thumbs, helpful or the like; on an episode they name no request"
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.id', '$.target_id', '$.metric_name', '$.value', '$.tags', '$.timestamp', '$.created_at']) as v
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    nullif(v[2], '') as target_id,
    v[3] as metric,
    lower(v[4]) as value_text,
    case
      when lower(v[4]) in ('true', 't') then 1
      when lower(v[4]) in ('false', 'f') then 0
      when isfinite(try_cast(v[4] as double)) then try_cast(v[4] as double)
    end as value,
    nullif(json_extract_string(try_cast(v[5] as json), '$.ticket_id'), '') as ticket_id,
    coalesce(
      uuid7_instant(v[1]),
      instant(coalesce(nullif(v[6], ''), v[7]), 'UTC')
    ) as "at"
  from extracted
),
worded as (
  select
    *,
    case
      when regexp_matches(metric, '(?i)edit.?(ratio|distance|share|rate)') then 'edit share'
      when regexp_matches(metric, '(?i)overrid|overrod|overrul') then 'overridden'
      when regexp_matches(metric, '(?i)reject|dismiss|discard|thumbs?.?down|dislike|unhelpful|not.?helpful') then 'rejected'
      when regexp_matches(metric, '(?i)edited|modified|rewritten|corrected') then 'edited'
      when regexp_matches(metric, '(?i)accept|approv|thumb|helpful|user.?feedback|\blike') then 'accepted'
    end as says
  from named
),
decided as (
  select
    *,
    judged(says, value) as decision
  from worded
)
select
  line,
  case
    when id is null then 'no id'
    when target_id is null then 'no target_id'
    when "at" is null then 'id holds no time (it is no UUIDv7), and timestamp is not a time'
    when not in_our_time("at") then 'the time in id is not in our time'
    when metric is null then 'no metric_name'
    when value is null then 'value: ''' || left(coalesce(value_text, ''), 40) || ''' is neither a number nor true or false'
    when says is null then 'not for us: the metric ''' || left(metric, 40) || ''' does not say what a person did with the answer'
    when decision is null then 'value: ' || value || ' of ''' || left(metric, 40) || ''' is no yes or no'
  end as reject,
  id as feedback_id,
  target_id as suggestion_id,
  target_id as request_id,
  ticket_id,
  "at",
  decision,
  case when decision in ('edited', 'rejected') then true when decision = 'accepted' then false end as overridden,
  case when says = 'edit share' then value end as edit_ratio,
  'tensorzero' as source,
  left(metric, 60) || '=' || value_text as decision_rule
from decided
