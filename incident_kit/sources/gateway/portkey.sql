-- one row per logged call
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, labels JSON
-- ---
-- name: portkey
-- title: Portkey log export (JSONL)
-- table: attempts
-- zone: UTC
-- detect: [id, trace_id, created_at, ai_org, ai_model, is_success, response_time]
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
--   waits: "lower bound: retries on one target are inside one row, and a fallback chain is put together by its trace and times"
--   errors: "lower bound: a retried call has one row, which says how its last try ended"
--   tools: "no: bodies are not read from this export"
--   fidelity: "lower bound: a chain is told by mode 'fallback', one trace and no answer in between; load balancing and cache hits do not show"
-- hints:
--   intents: "send an intent in the header x-portkey-metadata of every request"
--   tickets: "send a ticket_id in the header x-portkey-metadata of every request"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.trace_id', '$.created_at', '$.ai_org', '$.ai_model', '$.is_success', '$.response_status_code', '$.response_time',
      '$.req_units', '$.res_units', '$.cost', '$.cost_currency', '$.mode', '$.config', '$.metadata', '$.prompt_slug'
    ] || $intent_paths || $ticket_id_paths || $conversation_id_paths || $channel_paths) as v  -- one call: each parses the record
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    nullif(v[2], '') as trace_id,
    instant(v[3], 'UTC') as began_at,
    nullif(v[4], '') as provider,
    nullif(v[5], '') as model,
    -- in conversions to CSV truth values and numbers are text
    lower(v[6]) in ('true', '1') as succeeded,
    v[6] as success_text,
    try_cast(v[7] as integer) as code,
    whole(v[8]) as took_ms,
    try(instant(v[3], 'UTC') + to_milliseconds(whole(v[8]))) as done_at,
    whole(v[9]) as prompt_tokens,
    whole(v[10]) as completion_tokens,
    lower(v[13]) as mode,
    nullif(v[14], '') as config,
    try_cast(v[15] as json) as metadata,
    json_object('metadata', try_cast(v[15] as json)) as opened,
    json_object(
      'mode', v[13], 'config', v[14], 'prompt', v[16], 'cost', case when lower(v[6]) in ('true', '1') then v[11] end,
      'cost_currency', case when lower(v[6]) in ('true', '1') then v[12] end
    ) as kept,
    list_filter(v[17:16 + len($intent_paths)] || json_extract_string(opened, $intent_paths), lambda x: x <> '')[1] as intent,
    list_filter(v[17 + len($intent_paths):16 + len($intent_paths || $ticket_id_paths)] || json_extract_string(opened, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
    list_filter(v[17 + len($intent_paths || $ticket_id_paths):16 + len($intent_paths || $ticket_id_paths || $conversation_id_paths)] || json_extract_string(opened, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
    list_filter(v[17 + len($intent_paths || $ticket_id_paths || $conversation_id_paths):] || json_extract_string(opened, $channel_paths), lambda x: x <> '')[1] as channel
  from extracted
),
following as (
  select
    line, id, trace_id, began_at, done_at,
    -- a trace id that the client sends is mostly one per conversation: only what comes right after a failure of the same fallback
    -- configuration is the same request; the same row twice is no other request
    case
      when lag(id) over trace = id then false
      else not coalesce(
        mode = 'fallback' and lag(mode) over trace = 'fallback' and not lag(succeeded) over trace
        and config is not distinct from lag(config) over trace and began_at < lag(done_at) over trace + interval 5 seconds,
        false
      )
    end as starts
  from named
  where trace_id is not null
  window trace as (partition by trace_id order by began_at, done_at, id, line)
),
chained as (
  select
    line, trace_id,
    last_value(case when starts then id end ignore nulls) over (
      partition by trace_id order by began_at, done_at, id, line rows unbounded preceding
    ) as first_id
  from following
),
traces as (
  select trace_id, min(first_id) <> max(first_id) as has_several from chained group by trace_id
),
grouped as (
  select n.*, c.first_id, coalesce(t.has_several, false) as has_several
  from named as n
  left join chained as c on c.line = n.line
  left join traces as t on t.trace_id = n.trace_id
)
select
  line,
  case
    when id is null then 'no id'
    when began_at is null then 'created_at is not a time'
    when not in_our_time(began_at) then 'created_at is not in our time'
    when coalesce(lower(success_text), '') not in ('true', 'false', '1', '0') then 'is_success is neither true nor false'
    when took_ms is null or done_at is null then 'response_time is not a number of milliseconds'
    when done_at > began_at + interval 1 day then 'it took longer than a day'
  end as reject,
  case when trace_id is null then id when has_several then trace_id || '/' || first_id else trace_id end as request_id,
  id as attempt_id,
  -- Portkey's own code for a request that a guardrail refused
  case when code = 446 then 'guardrail' else 'call' end as kind,
  model as target,
  provider,
  model,
  began_at as sent_at,
  done_at,
  case when coalesce(code, 0) <> 446 then took_ms end as latency_ms,
  case when succeeded then 'ok' when code = 408 then 'timeout' else 'error' end as status,
  case
    when succeeded then null
    when code = 408 then 'timeout'
    when code = 446 then 'content_policy'
    when code between 400 and 599 then code::varchar
    else 'unknown'
  end as error_class,
  case when succeeded then prompt_tokens end as prompt_tokens,
  case when succeeded then completion_tokens end as completion_tokens,
  -- no cost_usd: a cost may be in cents or in dollars, and the row does not say which; what it says is kept in labels
  coalesce(
    conversation_id,
    case when has_several then trace_id end
  ) as conversation_id,
  ticket_id,
  intent,
  channel,
  plain_labels(
    metadata, kept, null, '{"intent": null, "ticket_id": null, "conversation_id": null, "session_id": null, "channel": null}'
  ) as labels
from grouped
