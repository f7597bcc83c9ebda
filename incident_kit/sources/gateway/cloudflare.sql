-- one row per logged call
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, seq INTEGER, kind VARCHAR, target VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, cache_hit BOOLEAN, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, requested VARCHAR, is_fallback BOOLEAN, labels JSON
-- ---
-- name: cloudflare
-- title: Cloudflare AI Gateway logs (REST API, or the dashboard's download)
-- table: attempts
-- one_to_one: true
-- zone: UTC
-- companions: [cloudflare_feedback]
-- detect: [id, created_at, provider, model, duration, success, tokens_in, tokens_out]
-- labels:
--   intent:
--     - $.metadata.intent
--   ticket_id:
--     - $.metadata.ticket_id
--   conversation_id:
--     - $.metadata.conversation_id
--     - $.metadata.session_id
--   channel:
--     - $.metadata.channel
-- answers:
--   waits: "lower bound: retries that the gateway makes by itself leave no row, and a fallback without event_id is a request of its own"
--   errors: "lower bound: only the last of the gateway's own retries is logged, and logging stops without a sign when its storage limit is reached"
--   tools: "no: bodies are not in these rows; keep messages and tool results in a log of your own"
--   fidelity: "lower bound: a step number says that a fallback answered; which calls were one request only event_id says"
-- hints:
--   intents: "send an intent in the header cf-aig-metadata; it keeps five plain entries and drops the rest without a word"
--   tickets: "send a ticket_id in the header cf-aig-metadata; it keeps five plain entries and drops the rest without a word"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.event_id', '$.created_at', '$.provider', '$.model', '$.duration', '$.status_code', '$.success', '$.cached',
      '$.tokens_in', '$.tokens_out', '$.cost', '$.step', '$.metadata', '$.dlp_action'
    ] || $intent_paths || $ticket_id_paths || $conversation_id_paths || $channel_paths) as v  -- one call: each parses the record
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    nullif(v[2], '') as event_id,
    instant(v[3], 'UTC') as began_at,
    nullif(v[4], '') as provider,
    nullif(v[5], '') as model,
    whole(v[6]) as duration_ms,
    nullif(v[7], '') as code,
    lower(v[8]) as success,
    coalesce(lower(v[9]) = 'true', false) as cached,
    whole(v[10]) as prompt_tokens,
    whole(v[11]) as completion_tokens,
    amount(v[12]) as cost_usd,
    try_cast(v[13] as integer) as step,
    -- a JSON object inside a string, or a plain one
    try_cast(v[14] as json) as metadata,
    upper(v[15]) = 'BLOCK' as blocked,
    json_object('metadata', try_cast(v[14] as json)) as opened,
    list_filter(v[16:15 + len($intent_paths)] || json_extract_string(opened, $intent_paths), lambda x: x <> '')[1] as intent,
    list_filter(v[16 + len($intent_paths):15 + len($intent_paths || $ticket_id_paths)] || json_extract_string(opened, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
    list_filter(v[16 + len($intent_paths || $ticket_id_paths):15 + len($intent_paths || $ticket_id_paths || $conversation_id_paths)] || json_extract_string(opened, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
    list_filter(v[16 + len($intent_paths || $ticket_id_paths || $conversation_id_paths):] || json_extract_string(opened, $channel_paths), lambda x: x <> '')[1] as channel
  from extracted
),
judged as (
  select
    *,
    coalesce(success = 'true', try_cast(code as integer) between 200 and 399) and not coalesce(blocked, false) as succeeded,
    case when cached then 'cache_hit' when blocked then 'guardrail' else 'call' end as kind,
    try(began_at + to_milliseconds(duration_ms)) as done_at
  from named
)
select
  line,
  case
    when id is null then 'no id'
    when began_at is null then 'created_at is not a time'
    when duration_ms is null or duration_ms < 0 then 'duration is not a number of milliseconds'
    when done_at is null then 'duration is not a number of milliseconds'
    when not in_our_time(began_at) then 'created_at is not in our time'
    when done_at > began_at + interval 1 day then 'it took longer than a day'
    when succeeded is null then 'neither success nor status_code says how it ended'
  end as reject,
  coalesce(event_id, id) as request_id,
  id as attempt_id,
  step + 1 as seq,
  kind,
  model as target,
  provider,
  model,
  began_at as sent_at,
  done_at,
  case when kind = 'call' then duration_ms end as latency_ms,
  case when succeeded then 'ok' when code = '408' then 'timeout' else 'error' end as status,
  case
    when succeeded then null
    when blocked then 'content_policy'
    when code = '408' then 'timeout'
    when regexp_full_match(code, '[4-5][0-9][0-9]') then code
    else 'unknown'
  end as error_class,
  -- a failure says 0
  case when succeeded then prompt_tokens end as prompt_tokens,
  case when succeeded then completion_tokens end as completion_tokens,
  case when succeeded then cost_usd end as cost_usd,
  cached as cache_hit,
  conversation_id,
  ticket_id,
  intent,
  channel,
  -- '' says that it cannot be known: a later step, unless the first one of its event is here too
  case when step > 0 then '' else model end as requested,
  case when succeeded and step is not null then step > 0 end as is_fallback,
  plain_labels(metadata, null, null, '{"intent": null, "ticket_id": null, "conversation_id": null, "session_id": null, "channel": null}') as labels
from judged
