-- one row per logged call
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, cache_hit BOOLEAN, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, stream BOOLEAN, labels JSON
-- ---
-- name: helicone
-- title: Helicone requests (ClickHouse table request_response_rmt)
-- table: attempts
-- zone: UTC
-- companions: [helicone_feedback]
-- detect: [request_id, request_created_at, status, latency, model, provider, properties]
-- labels:
--   intent:
--     - $.properties.Intent
--     - $.properties.intent
--   ticket_id:
--     - $.properties."Ticket-Id"
--     - $.properties.ticket_id
--   conversation_id:
--     - $.properties."Helicone-Session-Id"
--   channel:
--     - $.properties.Channel
--     - $.properties.channel
-- answers:
--   waits: "lower bound: a retry or fallback is a row of its own, with no id in common"
--   errors: "yes: each call's own status; a call that was retried counts as a request that failed"
--   tools: "no: bodies are kept for three months only, and are not read"
--   fidelity: "lower bound: each call counts as asked for by its own model; nothing joins a failed call to the one that came in its place"
-- hints:
--   intents: "send the header Helicone-Property-Intent with every request"
--   tickets: "send the header Helicone-Property-Ticket-Id with every request"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.request_id', '$.request_created_at', '$.response_created_at', '$.latency', '$.time_to_first_token', '$.status', '$.model',
      '$.provider', '$.prompt_tokens', '$.completion_tokens', '$.cost', '$.properties', '$.cache_reference_id',
      '$.gateway_deployment_target', '$.updated_at', '$.threat'
    ] || $intent_paths || $ticket_id_paths || $conversation_id_paths || $channel_paths) as v  -- one call: each parses the record
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as request_id,
    instant(v[2], 'UTC') as began_at,
    instant(v[3], 'UTC') as answered_at,
    whole(v[4]) as latency_ms,
    whole(v[5]) as ttft_ms,
    try_cast(v[6] as integer) as code,
    nullif(v[7], '') as model,
    lower(nullif(v[8], '')) as provider,
    whole(v[9]) as prompt_tokens,
    whole(v[10]) as completion_tokens,
    -- the table counts in billionths of a dollar, in whole numbers; the API and its CSV in dollars
    amount(v[11]) / case when regexp_full_match(v[11], '[0-9]+') then 1e9 else 1 end as cost_usd,
    -- a map comes as an object, or in CSV as its text, which ClickHouse writes with single quotes
    coalesce(try_cast(v[12] as json), try_cast(replace(v[12], '''', '"') as json)) as properties,
    coalesce(nullif(v[13], '') <> '00000000-0000-0000-0000-000000000000', false) as cached,
    nullif(v[14], '') as deployment,
    instant(v[15], 'UTC') as updated_at,
    coalesce(lower(v[16]) in ('true', '1'), false) as threat,
    json_object('properties', properties) as opened,
    list_filter(v[17:16 + len($intent_paths)] || json_extract_string(opened, $intent_paths), lambda x: x <> '')[1] as intent,
    list_filter(v[17 + len($intent_paths):16 + len($intent_paths || $ticket_id_paths)] || json_extract_string(opened, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
    list_filter(v[17 + len($intent_paths || $ticket_id_paths):16 + len($intent_paths || $ticket_id_paths || $conversation_id_paths)] || json_extract_string(opened, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
    list_filter(v[17 + len($intent_paths || $ticket_id_paths || $conversation_id_paths):] || json_extract_string(opened, $channel_paths), lambda x: x <> '')[1] as channel
  from extracted
),
judged as (
  select
    *,
    code between 200 and 399 as succeeded,
    case when cached then 'cache_hit' when code = -4 or (threat and code not between 200 and 399) then 'guardrail' else 'call' end as kind,
    try(began_at + to_milliseconds(coalesce(
      latency_ms, round((epoch_us(answered_at) - epoch_us(began_at)) / 1000)::bigint
    ))) as done_at,
    try(began_at + to_milliseconds(case when ttft_ms > 0 then ttft_ms end)) as token_at,
    -- the table keeps every version of a row until it is merged; the model is part of its key, so also of one that changed it
    updated_at < max(updated_at) over (partition by request_id) as outdated
  from named
)
select
  line,
  case
    when request_id is null then 'no request_id'
    when began_at is null then 'request_created_at is not a time'
    when code is null then 'status is not a number'
    when coalesce(outdated, false) then 'not for us: an older version of a request that is here in a newer one'
    when code = -2 then 'not for us: the request was still pending when it was exported'
    when done_at < began_at then 'response_created_at is before request_created_at'
    when not in_our_time(began_at) then 'request_created_at is not in our time'
    when done_at is null then 'neither latency nor response_created_at'
    when done_at > began_at + interval 1 day then 'it took longer than a day'
  end as reject,
  request_id,
  request_id as attempt_id,
  kind,
  model as target,
  case when deployment <> 'cloud' then deployment end as deployment,
  provider,
  model,
  began_at as sent_at,
  case when token_at < done_at then token_at end as first_token_at,
  done_at,
  case when kind = 'call' then round((epoch_us(done_at) - epoch_us(began_at)) / 1000)::bigint end as latency_ms,
  case when succeeded then 'ok' when code in (-1, 408) then 'timeout' when code = -3 then 'cut' else 'error' end as status,
  case
    when succeeded then null
    when code in (-1, 408) then 'timeout'
    when code = -3 then 'cut'
    when kind = 'guardrail' then 'content_policy'
    when code between 400 and 599 then code::varchar
    else 'unknown'
  end as error_class,
  case when succeeded then prompt_tokens end as prompt_tokens,
  case when succeeded then completion_tokens end as completion_tokens,
  case when succeeded then cost_usd end as cost_usd,
  cached as cache_hit,
  conversation_id,
  ticket_id,
  intent,
  channel,
  token_at < done_at as stream,
  plain_labels(
    properties, null, null,
    '{"Intent": null, "intent": null, "Ticket-Id": null, "ticket_id": null, "Helicone-Session-Id": null, "Channel": null, "channel": null}'
  ) as labels
from judged
