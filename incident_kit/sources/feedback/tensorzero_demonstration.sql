-- one row per answer that a person replaced
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: tensorzero_demonstration
-- title: TensorZero DemonstrationFeedback (the text that an agent sent instead)
-- table: feedback
-- one_to_one: true
-- zone: UTC
-- detect: [id, inference_id, value]
-- answers:
--   overrides: "lower bound: only what was replaced is logged; accepted answers leave no demonstration"
-- ---
with named as (
  select
    line,
    nullif(json_extract_string(record, '$.id'), '') as id,
    nullif(json_extract_string(record, '$.inference_id'), '') as inference_id,
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
    when inference_id is null then 'no inference_id'
    when "at" is null then 'id holds no time (it is no UUIDv7), and timestamp is not a time'
    when not in_our_time("at") then 'the time in id is not in our time'
  end as reject,
  id as feedback_id,
  inference_id as suggestion_id,
  inference_id as request_id,
  "at",
  'edited' as decision,
  true as overridden,
  'tensorzero' as source,
  'demonstration' as decision_rule
from named
