-- one row per generation
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, requested VARCHAR, stream BOOLEAN, labels JSON
-- ---
-- name: openrouter_csv
-- title: OpenRouter activity, the download with one row a generation
-- table: attempts
-- one_to_one: true
-- zone: UTC
-- detect: [generation_id, created_at, cost_total, model_permaslug, provider_name, generation_time_ms]
-- labels:
--   intent: []
--   ticket_id: []
--   conversation_id: []
--   channel: []
-- answers:
--   waits: "lower bound: providers that were tried before are not in these rows, nor is the time they took"
--   errors: "no: only the provider that ended the generation is in the row; fetch each generation over the API for all that were tried"
--   tools: "no: a finish reason says that tools were called, not which nor how it went"
--   fidelity: "no: neither what was asked for nor what was tried is in these rows; fetch each generation over the API"
-- hints:
--   intents: "give each intent its own app title, and say so: labels={'intent': ['$.app_name']}"
--   tickets: "send the ticket's id as user, and say so: labels={'ticket_id': ['$.user']}"
-- ---
with extracted as (
  select
    line,
    record,
    json_extract_string(record, [
      '$.generation_id', '$.created_at', '$.model_permaslug', '$.provider_name', '$.cancelled', '$.streamed', '$.finish_reason_normalized',
      '$.generation_time_ms', '$.time_to_first_token_ms', '$.tokens_prompt', '$.tokens_completion', '$.cost_total', '$.variant', '$.app_name'
    ]) as v
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    instant(v[2], 'UTC') as began_at,
    nullif(v[3], '') as model,
    nullif(v[4], '') as provider,
    lower(v[5]) in ('true', '1') as cancelled,
    lower(v[6]) in ('true', '1') as streamed,
    lower(v[7]) = 'error' as failed,
    whole(v[8]) as took_ms,
    try(instant(v[2], 'UTC') + to_milliseconds(whole(v[8]))) as done_at,
    try(instant(v[2], 'UTC') + to_milliseconds(whole(v[9]))) as token_at,
    whole(v[10]) as prompt_tokens,
    whole(v[11]) as completion_tokens,
    amount(v[12]) as cost_usd,
    nullif(v[13], '') as variant,
    nullif(v[14], '') as app_name,
    record
  from extracted
)
select
  line,
  case
    when id is null then 'no generation_id'
    when began_at is null then 'created_at is not a time'
    when not in_our_time(began_at) then 'created_at is not in our time'
    when took_ms is null or took_ms < 0 or done_at is null then 'generation_time_ms is not a number of milliseconds'
    when done_at > began_at + interval 1 day then 'it took longer than a day'
  end as reject,
  id as request_id,
  id as attempt_id,
  'call' as kind,
  model as target,
  provider,
  model,
  began_at as sent_at,
  case when streamed and token_at > began_at and token_at < done_at then token_at end as first_token_at,
  done_at,
  took_ms as latency_ms,
  case when cancelled then 'cut' when coalesce(failed, false) then 'error' else 'ok' end as status,
  case when cancelled then 'cut' when coalesce(failed, false) then 'unknown' end as error_class,
  case when not coalesce(failed, false) then prompt_tokens end as prompt_tokens,
  case when not coalesce(failed, false) then completion_tokens end as completion_tokens,
  case when not coalesce(failed, false) then cost_usd end as cost_usd,
  list_filter(json_extract_string(record, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
  list_filter(json_extract_string(record, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
  list_filter(json_extract_string(record, $intent_paths), lambda x: x <> '')[1] as intent,
  list_filter(json_extract_string(record, $channel_paths), lambda x: x <> '')[1] as channel,
  -- '' says that it cannot be known
  '' as requested,
  streamed as stream,
  plain_labels(json_object('variant', variant, 'app_name', app_name), null, null, '{}') as labels
from named
