-- one row per outcome that was reported for a decision
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, shown_at TIMESTAMP WITH TIME ZONE, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: vllm_router_outcomes
-- title: outcomes reported for vLLM semantic router decisions
-- table: feedback
-- answers:
--   overrides: "lower bound: verdicts of whoever reported one; edited answers do not show"
-- ---
with listed as (
  select
    line,
    json_extract_string(record, ['$.id', '$.request_id', '$.ended_at']) as v,
    unnest(from_json(json_extract(record, '$.outcomes'), '[{"timestamp": "VARCHAR", "source": "VARCHAR", "verdict": "VARCHAR"}]')) as outcome,
    generate_subscripts(from_json(json_extract(record, '$.outcomes'), '["JSON"]'), 1) as number
  from raw
),
named as (
  select
    line, number, outcome, nullif(v[1], '') as id, coalesce(nullif(v[2], ''), nullif(v[1], '')) as request_id,
    instant(nullif(v[3], ''), null) as shown_at, instant(outcome.timestamp, null) as reported_at,
    case
      when lower(outcome.verdict) in ('good_fit', 'accepted', 'accept', 'good', 'success', 'correct', 'positive', 'pass', 'thumbs_up') then 'accepted'
      when lower(outcome.verdict) in ('rejected', 'reject', 'bad', 'failed', 'failure', 'incorrect', 'negative', 'fail', 'thumbs_down', 'underpowered', 'poor_fit') then 'rejected'
      when lower(outcome.verdict) in ('edited', 'corrected') then 'edited'
      else 'unknown'
    end as decision
  from listed
)
select
  line,
  case when request_id is null then 'no request_id and no id' when reported_at is null then 'outcomes: timestamp is not a time' end as reject,
  request_id || '#' || coalesce(reported_at::varchar, '') || '#' || number as feedback_id,
  coalesce(id, request_id) as suggestion_id,
  request_id,
  case when in_our_time(shown_at) then shown_at end as shown_at,
  reported_at as at,
  decision,
  case when decision <> 'unknown' then decision <> 'accepted' end as overridden,
  'vllm_router' || coalesce(':' || left(outcome.source, 40), '') as source,
  'verdict=' || left(coalesce(outcome.verdict, ''), 40) as decision_rule
from named
