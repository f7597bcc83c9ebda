-- one row per call to a provider, of each generation
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, seq INTEGER, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, cache_hit BOOLEAN, rows_stated INTEGER, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, stream BOOLEAN, labels JSON
-- ---
-- name: openrouter
-- title: OpenRouter generations (GET /api/v1/generation, one answer a line, with or without its data wrapper)
-- table: attempts
-- zone: UTC
-- complete: true
-- detect: [data.id|id, data.provider_responses|provider_responses, data.created_at|created_at, data.total_cost|total_cost]
-- labels:
--   intent: []
--   ticket_id: []
--   conversation_id:
--     - $.session_id
--   channel: []
-- answers:
--   waits: "lower bound: each call's latency is logged, the pauses between calls are not"
--   errors: "yes: every provider that was tried, with its status"
--   tools: "no: bodies are not in these records"
--   fidelity: "yes: the records say every provider that was tried, in order; of a model fallback, the model of each"
-- hints:
--   intents: "OpenRouter takes no metadata: give each intent its own app title or API key, or load your own requests beside it"
--   tickets: "send the ticket's id as user, and say so: labels={'ticket_id': ['$.external_user']}"
-- ---
with opened as (
  select line, case when json_type(record, '$.data') = 'OBJECT' then json_extract(record, '$.data') else record end as record
  from raw
),
extracted as (
  select
    line,
    record,
    json_extract_string(record, [
      '$.id', '$.request_id', '$.created_at', '$.model', '$.router', '$.provider_name', '$.streamed', '$.cancelled', '$.finish_reason',
      '$.latency', '$.generation_time', '$.native_tokens_prompt', '$.native_tokens_completion', '$.total_cost',
      '$.response_cache_source_id', '$.tokens_prompt', '$.tokens_completion'
    ]) as v,
    case when json_type(record, '$.provider_responses') = 'ARRAY' then json_extract(record, '$.provider_responses[*]') else []::json[] end as tried
  from opened
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    coalesce(nullif(v[2], ''), nullif(v[1], '')) as request_id,
    instant(v[3], 'UTC') as began_at,
    nullif(v[4], '') as model,
    nullif(v[5], '') as router,
    nullif(v[6], '') as provider,
    coalesce(v[7] = 'true', false) as streamed,
    coalesce(v[8] = 'true', false) as cancelled,
    lower(v[9]) as finish,
    whole(v[10]) as latency_ms,
    whole(v[11]) as generation_ms,
    -- what was billed; the other pair counts with one tokenizer for all models
    whole(v[12]) as prompt_tokens,
    whole(v[13]) as completion_tokens,
    amount(v[14]) as cost_usd,
    nullif(v[15], '') is not null as cached,
    -- without a list of providers the generation itself is the one call
    case when len(tried) > 0 then tried else ['{}'::json] end as tried,
    record
  from extracted
),
calls as (
  select
    * exclude (tried),
    len(tried) as calls,
    unnest(range(1, len(tried) + 1)) as number,
    unnest(list_transform(tried, lambda t: json_extract_string(t, ['$.provider_name', '$.model_permaslug', '$.status', '$.latency', '$.endpoint_id']))) as t,
    json_extract_string(tried[len(tried)], '$.model_permaslug') as last_slug,
    list_transform(tried, lambda t: coalesce(whole(json_extract_string(t, '$.latency')), 0)) as took
  from named
),
ended as (
  select
    *,
    number = calls as is_last,
    list_sum(took[:number - 1])::bigint as before_ms,
    try_cast(t[3] as integer) as code,
    coalesce(finish, '') = 'error' as gave_error
  from calls
),
judged as (
  select
    *,
    case
      when code >= 400 then 'error'
      when not is_last then case when code between 200 and 399 then 'cut' else 'error' end
      when cancelled then 'cut'
      when gave_error then 'error'
      else 'ok'
    end as outcome,
    case
      when not is_last then took[number]
      -- the last one lasts until the answer is there; of a stream, latency is the time to its first token
      when streamed then greatest(coalesce(generation_ms, 0), took[number], coalesce(latency_ms, 0) - coalesce(before_ms, 0))
      else greatest(coalesce(latency_ms, 0) - coalesce(before_ms, 0), took[number], case when latency_ms is null then coalesce(generation_ms, 0) else 0 end)
    end as call_ms,
    latency_ms is null and generation_ms is null and took[number] = 0 as untimed
  from ended
),
timed as (
  select
    *,
    try(began_at + to_milliseconds(coalesce(before_ms, 0))) as sent_at,
    try(began_at + to_milliseconds(coalesce(before_ms, 0) + call_ms)) as done_at,
    try(began_at + to_milliseconds(latency_ms)) as token_at,
    case when t[2] is null or t[2] is not distinct from last_slug then model else t[2] end as target
  from judged
)
select
  line,
  case
    when id is null then 'no id'
    when began_at is null then 'created_at is not a time'
    when not in_our_time(began_at) then 'created_at is not in our time'
    when model is null then 'no model'
    when done_at is null then 'latency or generation_time is not a number of milliseconds'
    when untimed and is_last then 'neither latency nor generation_time'
    when done_at > began_at + interval 1 day then 'it took longer than a day'
  end as reject,
  request_id,
  case when calls = 1 then id else id || ':' || lpad(number::varchar, 2, '0') end as attempt_id,
  number::integer as seq,
  case when cached then 'cache_hit' else 'call' end as kind,
  target,
  nullif(t[5], '') as deployment,
  coalesce(nullif(t[1], ''), provider) as provider,
  coalesce(nullif(t[2], ''), model) as model,
  sent_at,
  case when is_last and streamed and outcome <> 'error' and token_at > sent_at and token_at < done_at then token_at end as first_token_at,
  done_at,
  case when not cached then call_ms end as latency_ms,
  case when outcome = 'error' and code = 408 then 'timeout' else outcome end as status,
  case
    when outcome = 'ok' then null
    when outcome = 'cut' then 'cut'
    when code = 408 then 'timeout'
    when code between 400 and 599 then code::varchar
    else 'unknown'
  end as error_class,
  case when outcome <> 'error' and is_last then prompt_tokens end as prompt_tokens,
  case when outcome <> 'error' and is_last then completion_tokens end as completion_tokens,
  case when outcome <> 'error' and is_last then cost_usd end as cost_usd,
  cached as cache_hit,
  calls::integer as rows_stated,
  list_filter(json_extract_string(record, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
  list_filter(json_extract_string(record, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
  list_filter(json_extract_string(record, $intent_paths), lambda x: x <> '')[1] as intent,
  list_filter(json_extract_string(record, $channel_paths), lambda x: x <> '')[1] as channel,
  streamed as stream,
  plain_labels(
    json_object('router', router, 'origin', json_extract_string(record, '$.origin'), 'app_id', json_extract_string(record, '$.app_id'),
      'service_tier', json_extract_string(record, '$.service_tier')), null, null, '{}'
  ) as labels
from timed
