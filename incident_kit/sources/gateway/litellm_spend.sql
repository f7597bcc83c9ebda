-- one row per client request (and per billed failed attempt of it)
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[], $intent_tag VARCHAR, $ticket_id_tag VARCHAR, $conversation_id_tag VARCHAR, $channel_tag VARCHAR
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, cache_hit BOOLEAN, rows_stated INTEGER, fallbacks INTEGER, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, requested VARCHAR, is_fallback BOOLEAN, stream BOOLEAN, labels JSON
-- ---
-- name: litellm_spend
-- title: LiteLLM_SpendLogs (Postgres table, /spend/logs, UI export)
-- table: attempts
-- one_to_one: true
-- detect: [request_id, spend, startTime, endTime, model, metadata, request_tags]
-- labels:
--   intent:
--     - $.metadata.spend_logs_metadata.intent
--   ticket_id:
--     - $.metadata.spend_logs_metadata.ticket_id
--   conversation_id:
--     - $.session_id
--   channel:
--     - $.metadata.spend_logs_metadata.channel
-- tags:
--   intent: ^intent:(.+)$
--   ticket_id: ^ticket(?:_id)?:(.+)$
--   channel: ^channel:(.+)$
-- answers:
--   waits: "lower bound: after a retry or fallback the row of a plain call covers only its last call"
--   errors: "no: a failure that a retry or fallback rescued leaves no row; load StandardLoggingPayload files or OTel spans"
--   tools: "no: messages and responses are not in these rows; load StandardLoggingPayload files"
--   fidelity: "no: the failures and cooldowns that moved requests are not in these rows; load StandardLoggingPayload files"
-- hints:
--   intents: "send a tag intent:NAME, or the header x-litellm-spend-logs-metadata; the body's metadata is dropped from these rows"
--   tickets: "send ticket_id in the header x-litellm-spend-logs-metadata; the body's metadata is dropped from these rows"
-- ---
with extracted as (
  select
    line,
    record,
    json_extract_string(record, [
      '$.litellm_call_id', '$.request_id', '$.status', '$.startTime', '$.endTime', '$.completionStartTime', '$.cache_hit',
      '$.model_group', '$.model_id', '$.custom_llm_provider', '$.model', '$.prompt_tokens', '$.completion_tokens', '$.spend',
      '$.request_tags'
    ]) as v,
    -- a JSON object inside a string, or a plain one
    try_cast(json_extract_string(record, '$.metadata') as json) as metadata
  from raw
),
inner_fields as (
  select
    *,
    json_object('metadata', metadata) as opened,
    json_extract_string(metadata, [
      '$.attempted_retries', '$.attempted_fallbacks', '$.original_model_group', '$.error_information.error_class',
      '$.error_information.error_code', '$.error_information.normalized_error', '$.error_information.error_message',
      '$.litellm_call_id', '$.spend_logs_metadata'
    ]) as m
  from extracted
),
named as (
  select
    line,
    json_extract_string(record, $intent_paths) || json_extract_string(opened, $intent_paths) as intents,
    json_extract_string(record, $ticket_id_paths) || json_extract_string(opened, $ticket_id_paths) as tickets,
    json_extract_string(record, $conversation_id_paths) || json_extract_string(opened, $conversation_id_paths) as conversations,
    json_extract_string(record, $channel_paths) || json_extract_string(opened, $channel_paths) as channels,
    nullif(v[2], '') as row_id,
    coalesce(nullif(v[1], ''), nullif(m[8], ''), nullif(regexp_replace(v[2], '-attempt-[0-9]+$', ''), '')) as request_id,
    -- rows of older versions carry no status
    coalesce(nullif(v[3], ''), case when m[4] is null or m[4] = '' then 'success' else 'failure' end) as logged_status,
    coalesce(nullif(v[3], ''), case when m[4] is null or m[4] = '' then 'success' else 'failure' end) = 'success' as succeeded,
    instant(v[4], 'UTC') as began_at,
    instant(v[5], 'UTC') as done_at,
    instant(v[6], 'UTC') as token_at,
    lower(v[7]) = 'true' as cache_flag,
    nullif(v[8], '') as model_group,
    nullif(v[9], '') as deployment,
    nullif(v[10], '') as provider,
    nullif(v[11], '') as model,
    try_cast(v[12] as bigint) as prompt_tokens,
    try_cast(v[13] as bigint) as completion_tokens,
    try_cast(v[14] as double) as cost_usd,
    list_filter(try(from_json(v[15], '["VARCHAR"]')), lambda tag: not starts_with(tag, 'User-Agent: ')) as tags,
    try_cast(m[1] as integer) as retries,
    try_cast(m[2] as integer) as fallbacks,
    nullif(m[3], '') as original_group,
    coalesce(m[4], '') as error_name,
    coalesce(m[5], '') as error_code,
    coalesce(m[6], '') as error_norm,
    coalesce(m[7], '') as error_text,
    m[9] as spend_labels
  from inner_fields
),
classified as (
  select
    *,
    case
      when not succeeded and (error_name = 'RouterRateLimitError' or starts_with(error_text, 'No deployments available')) then 'refusal'
      when succeeded and coalesce(cache_flag, false) then 'cache_hit'
      else 'call'
    end as kind,
    -- there is no stream flag: a first token before the end is the only sign of one
    token_at > began_at and token_at < done_at as streamed,
    not succeeded and completion_tokens > 0 and token_at < done_at as cut
  from named
)
select
  line,
  case
    when row_id is null then 'no request_id'
    when logged_status not in ('success', 'failure') then 'status is neither success nor failure'
    when began_at is null then 'startTime is not a time'
    when done_at is null then 'endTime is not a time'
    when done_at < began_at then 'endTime is before startTime'
  end as reject,
  request_id,
  row_id as attempt_id,
  kind,
  case when kind = 'refusal' then nullif(regexp_extract(error_text, 'Passed model=(.+?)(?:\. |, |\s|$)', 1), '') else model_group end as target,
  case when kind <> 'refusal' then deployment end as deployment,
  case when kind <> 'refusal' then provider end as provider,
  case when kind <> 'refusal' then model end as model,
  began_at as sent_at,
  case when streamed and kind = 'call' then token_at end as first_token_at,
  done_at,
  case
    -- the clock of a stream starts with the request: it holds the earlier calls too
    when kind = 'call' and not (streamed and coalesce(retries, 0) + coalesce(fallbacks, 0) > 0)
      then round((epoch_us(done_at) - epoch_us(began_at)) / 1000)::bigint
  end as latency_ms,
  case
    when succeeded then 'ok'
    when cut then 'cut'
    when kind = 'call' and (error_code = '408' or error_name in ('Timeout', 'APITimeoutError')) then 'timeout'
    else 'error'
  end as status,
  case
    when succeeded then null
    when cut then 'cut'
    when error_code = '408' or error_name in ('Timeout', 'APITimeoutError') then 'timeout'
    when error_code = 'content_filter' or error_name = 'ContentPolicyViolationError' then 'content_policy'
    when error_name = 'ContextWindowExceededError' then 'context_window'
    when error_norm like '%CONNECTION_ERROR' or error_name in ('APIConnectionError', 'ReadError', 'ConnectError') then 'connection'
    when regexp_full_match(error_code, '[1-5][0-9][0-9]') then error_code
    when kind = 'refusal' then '429'
    else 'unknown'
  end as error_class,
  case when succeeded or cut then prompt_tokens end as prompt_tokens,
  case when succeeded or cut then completion_tokens end as completion_tokens,
  case when succeeded or cut then cost_usd end as cost_usd,
  kind = 'cache_hit' as cache_hit,
  case when succeeded then 1 + retries + fallbacks end::integer as rows_stated,
  fallbacks,
  coalesce(
    -- LiteLLM fills in an id of its own where the client sent none
    list_filter(conversations, lambda x: x <> '' and not regexp_full_match(x, '[0-9a-f]{32}'))[1],
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $conversation_id_tag, 1)), lambda x: x <> '')[1]
  ) as conversation_id,
  labelled(tickets, tags, $ticket_id_tag) as ticket_id,
  labelled(intents, tags, $intent_tag) as intent,
  labelled(channels, tags, $channel_tag) as channel,
  -- '' says that it cannot be known: older versions do not write what was asked for
  coalesce(original_group, case when fallbacks = 0 then model_group end, '') as requested,
  case when succeeded then fallbacks > 0 end as is_fallback,
  case when succeeded and kind = 'call' then streamed end as stream,
  plain_labels(spend_labels, null, null, '{"intent": null, "ticket_id": null, "conversation_id": null, "session_id": null, "trace_id": null, "channel": null}') as labels
from classified
