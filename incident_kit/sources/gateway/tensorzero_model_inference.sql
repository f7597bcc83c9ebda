-- one row per call that a provider answered
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, cache_hit BOOLEAN, ticket_id VARCHAR, intent VARCHAR, requested VARCHAR, stream BOOLEAN
-- ---
-- name: tensorzero_model_inference
-- title: TensorZero ModelInference (ClickHouse), model_inferences (Postgres)
-- table: attempts
-- zone: UTC
-- detect: [id, inference_id, model_name, model_provider_name, response_time_ms]
-- labels:
--   intent:
--     - $.tags.intent
--     - $.function_name
--   ticket_id:
--     - $.tags.ticket_id
-- answers:
--   waits: "lower bound: calls that failed leave no row; load ChatInference too, which has the gateway's own time"
--   errors: "no: only calls that were answered leave a row: an outage looks like missing calls; count them in the gateway's metrics"
--   tools: "no: outputs are not read here; load ChatInference"
--   fidelity: "no: neither the variant drawn first nor the calls that failed are in these rows"
-- hints:
--   intents: "export function_name beside each call, or load ChatInference too"
--   tickets: "load ChatInference too: tags are there"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.inference_id', '$.model_name', '$.model_provider_name', '$.input_tokens', '$.output_tokens', '$.cost',
      '$.response_time_ms', '$.ttft_ms', '$.cached', '$.variant_name', '$.timestamp', '$.created_at'
    ] || $intent_paths || $ticket_id_paths) as v  -- one call: each parses the record
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    nullif(v[2], '') as inference_id,
    nullif(v[3], '') as model,
    nullif(v[4], '') as provider,
    whole(v[5]) as prompt_tokens,
    whole(v[6]) as completion_tokens,
    amount(v[7]) as cost_usd,
    whole(v[8]) as took_ms,
    whole(v[9]) as ttft_ms,
    coalesce(lower(v[10]) in ('true', '1', 't'), false) as cached,
    nullif(v[11], '') as variant,
    coalesce(
      uuid7_instant(v[1]),
      instant(coalesce(nullif(v[12], ''), v[13]), 'UTC')
    ) as stamped_at,
    uuid7_instant(v[2]) as asked_at,
    list_filter(v[14:13 + len($intent_paths)], lambda x: x <> '')[1] as intent,
    list_filter(v[14 + len($intent_paths):], lambda x: x <> '')[1] as ticket_id
  from extracted
),
dated as (
  select
    *,
    -- newer versions make the id before the call, older ones when it is answered; a call cannot have begun before its request:
    -- where a row's clock would say so, the file's ids are from before
    coalesce(bool_or(epoch_ms(stamped_at) - took_ms < epoch_ms(asked_at) - 5 and took_ms > 0) over (), false) as made_before
  from named
),
timed as (
  select
    *,
    case when made_before then stamped_at else try(stamped_at - to_milliseconds(took_ms)) end as began_at,
    case when made_before then try(stamped_at + to_milliseconds(took_ms)) else stamped_at end as done_at
  from dated
)
select
  line,
  case
    when id is null then 'no id'
    when inference_id is null then 'no inference_id'
    when stamped_at is null then 'id holds no time (it is no UUIDv7), and timestamp is not a time'
    when not in_our_time(stamped_at) then 'the time in id is not in our time'
    when took_ms is null or took_ms < 0 or began_at is null or done_at is null then 'response_time_ms is not a number of milliseconds'
    when done_at > began_at + interval 1 day then 'it took longer than a day'
  end as reject,
  inference_id as request_id,
  id as attempt_id,
  case when cached then 'cache_hit' else 'call' end as kind,
  -- ClickHouse rows do not say the variant
  coalesce(variant, model) as target,
  provider as deployment,
  provider,
  model,
  began_at as sent_at,
  case when ttft_ms < took_ms then began_at + to_milliseconds(ttft_ms) end as first_token_at,
  done_at,
  case when not cached then took_ms end as latency_ms,
  'ok' as status,
  prompt_tokens,
  completion_tokens,
  cost_usd,
  cached as cache_hit,
  ticket_id,
  intent,
  -- '' says that it cannot be known
  '' as requested,
  ttft_ms is not null as stream
from timed
