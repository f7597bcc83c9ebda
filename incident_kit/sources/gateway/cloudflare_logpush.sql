-- one row per event
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, provider VARCHAR, model VARCHAR
-- ---
-- name: cloudflare_logpush
-- title: Cloudflare AI Gateway events from Logpush (recognised in order to be refused)
-- table: attempts
-- one_to_one: true
-- detect: [Endpoint, Gateway, Provider, Model, StatusCode]
-- refuse:
--   Metadata.iv: "Metadata and bodies of these Logpush events are encrypted, and without them an event has no id, time, duration, tokens or cost: fetch the same logs over the REST API (GET .../ai-gateway/gateways/NAME/logs) and load those"
--   StatusCode: "Logpush events of the AI Gateway have no id, time, duration, tokens or cost of their own: fetch the same logs over the REST API (GET .../ai-gateway/gateways/NAME/logs) and load those"
-- answers:
--   waits: "no: an event has no duration; load the REST logs"
--   errors: "no: an event has no time; load the REST logs"
-- ---
select
  line,
  case
    when json_extract_string(record, '$.Metadata.iv') is not null
      then 'Metadata is encrypted, and the event has no id and no time without it: load the REST logs instead'
    else 'the event has no id and no time: load the REST logs instead'
  end as reject,
  null::varchar as request_id,
  null::varchar as attempt_id,
  json_extract_string(record, '$.Provider') as provider,
  json_extract_string(record, '$.Model') as model
from raw
