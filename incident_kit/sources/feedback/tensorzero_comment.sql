-- one row per comment on an inference or an episode; its text is not read
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: tensorzero_comment
-- title: TensorZero CommentFeedback (that somebody commented, and when)
-- table: feedback
-- one_to_one: true
-- zone: UTC
-- detect: [id, target_id, target_type, value]
-- answers:
--   overrides: "no: a comment does not say what was done with the answer; load the metric feedback"
-- ---
with named as (
  select
    line,
    nullif(json_extract_string(record, '$.id'), '') as id,
    nullif(json_extract_string(record, '$.target_id'), '') as target_id,
    lower(json_extract_string(record, '$.target_type')) as target_type,
    coalesce(
      uuid7_instant(json_extract_string(record, '$.id')),
      instant(coalesce(json_extract_string(record, '$.timestamp'), json_extract_string(record, '$.created_at')), 'UTC')
    ) as "at"
  from raw
)
select
  line,
  case
    when id is null then 'no id'
    when target_id is null then 'no target_id'
    when "at" is null then 'id holds no time (it is no UUIDv7), and timestamp is not a time'
    when not in_our_time("at") then 'the time in id is not in our time'
  end as reject,
  id as feedback_id,
  target_id as suggestion_id,
  case when target_type is distinct from 'episode' then target_id end as request_id,
  "at",
  'unknown' as decision,
  null::boolean as overridden,
  'tensorzero' as source,
  'comment' as decision_rule
from named
