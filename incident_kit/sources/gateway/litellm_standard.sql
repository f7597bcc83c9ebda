-- one row per logged call (callback event)
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[], $intent_tag VARCHAR, $ticket_id_tag VARCHAR, $conversation_id_tag VARCHAR, $channel_tag VARCHAR
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, spans_request BOOLEAN, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, cache_hit BOOLEAN, retry_after_ms BIGINT, rows_stated INTEGER, fallbacks INTEGER, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, is_fallback BOOLEAN, stream BOOLEAN, labels JSON, calls_made STRUCT(id VARCHAR, ok BOOLEAN)[], tool_results STRUCT(id VARCHAR, ok BOOLEAN)[]
-- ---
-- name: litellm_standard
-- title: LiteLLM StandardLoggingPayload (custom callback, S3, GCS and generic API loggers)
-- table: attempts
-- one_to_one: true
-- detect: [litellm_call_id, startTime, endTime, response_time, model_group, status, metadata]
-- labels:
--   intent:
--     - $.metadata.requester_metadata.intent
--     - $.metadata.spend_logs_metadata.intent
--     - $.metadata.requester_custom_headers."x-intent"
--   ticket_id:
--     - $.metadata.requester_metadata.ticket_id
--     - $.metadata.spend_logs_metadata.ticket_id
--     - $.metadata.requester_custom_headers."x-ticket-id"
--   conversation_id:
--     - $.session_id
--     - $.metadata.requester_metadata.session_id
--     - $.metadata.requester_custom_headers."x-litellm-session-id"
--     - $.metadata.requester_custom_headers."x-litellm-trace-id"
--   channel:
--     - $.metadata.requester_metadata.channel
--     - $.metadata.spend_logs_metadata.channel
--     - $.metadata.requester_custom_headers."x-channel"
-- tags:
--   intent: ^intent:(.+)$
--   ticket_id: ^ticket(?:_id)?:(.+)$
--   channel: ^channel:(.+)$
-- answers:
--   waits: "lower bound: the rows miss the gateway's own queue before its first call"
--   errors: "lower bound: this format writes at most the first failure of a request, so later failures (the backup's above all) are hidden"
--   tools: "yes: calls and results are in the payload (unless message logging is turned off)"
--   fidelity: "yes: the rows say what was asked for, what was refused and what answered"
-- hints:
--   intents: "send metadata.intent in the body of every request, or a tag intent:NAME"
--   tickets: "send metadata.ticket_id in the body of every request"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.litellm_call_id', '$.id', '$.status', '$.startTime', '$.endTime', '$.completionStartTime', '$.stream', '$.cache_hit',
      '$.model_group', '$.model_id', '$.custom_llm_provider', '$.model', '$.error_str', '$.error_information.error_class',
      '$.error_information.error_code', '$.error_information.normalized_error', '$.status_fields.guardrail_status',
      '$.prompt_tokens', '$.completion_tokens', '$.response_cost', '$.request_tags', '$.metadata.requester_metadata',
      '$.metadata.spend_logs_metadata', '$.metadata.requester_custom_headers', '$.model_parameters.stream',
      '$.model_parameters.tools', '$.response.choices[0].finish_reason', '$.response.choices[0].message.tool_calls',
      '$.messages', '$.hidden_params.additional_headers."x-litellm-attempted-retries"',
      '$.hidden_params.additional_headers."x-litellm-attempted-fallbacks"',
      '$.hidden_params.additional_headers."retry-after"'
    ] || $intent_paths || $ticket_id_paths || $conversation_id_paths || $channel_paths) as v  -- one call: each parses the record
  from raw
),
named as (
  select
    line,
    v[33:32 + len($intent_paths)] as intents,
    v[33 + len($intent_paths):32 + len($intent_paths || $ticket_id_paths)] as tickets,
    v[33 + len($intent_paths || $ticket_id_paths):32 + len($intent_paths || $ticket_id_paths || $conversation_id_paths)] as conversations,
    v[33 + len($intent_paths || $ticket_id_paths || $conversation_id_paths):] as channels,
    coalesce(nullif(v[1], ''), nullif(v[2], '')) as request_id,
    nullif(v[2], '') as id,
    v[3] = 'success' as succeeded,
    v[3] as logged_status,
    epoch_seconds(v[4]) as began_at,
    epoch_seconds(v[5]) as done_at,
    epoch_seconds(v[6]) as token_at,
    v[4] as began_text,
    coalesce(v[7] = 'true', false) as streamed,
    coalesce(v[8] = 'true', false) as cache_flag,
    nullif(v[9], '') as model_group,
    nullif(v[10], '') as deployment,
    nullif(v[11], '') as provider,
    nullif(v[12], '') as model,
    coalesce(v[13], '') as error_text,
    coalesce(v[14], '') as error_name,
    coalesce(v[15], '') as error_code,
    coalesce(v[16], '') as error_norm,
    coalesce(v[17], '') as guardrail,
    try_cast(v[18] as bigint) as prompt_tokens,
    try_cast(v[19] as bigint) as completion_tokens,
    try_cast(v[20] as double) as cost_usd,
    list_filter(try(from_json(v[21], '["VARCHAR"]')), lambda tag: not starts_with(tag, 'User-Agent: ')) as tags,
    v[22] as requester, v[23] as spend_labels, v[24] as headers,
    coalesce(v[25], v[7]) = 'true' as asked_stream,
    try(from_json(v[26], '[{"function": {"name": "VARCHAR", "parameters": {"required": ["VARCHAR"]}}}]')) as tools,
    v[27] is not null as answer_logged,
    try(from_json(v[28], '[{"id": "VARCHAR", "function": {"name": "VARCHAR", "arguments": "VARCHAR"}}]')) as calls,
    case when contains(v[29], '"tool_call_id"') then
      list_filter(
        try(from_json(v[29], '[{"role": "VARCHAR", "tool_call_id": "VARCHAR", "content": "VARCHAR"}]')),
        lambda m: m.role = 'tool' and m.tool_call_id is not null
      )
    end as results,
    try_cast(v[30] as integer) as retries,
    try_cast(v[31] as integer) as fallbacks,
    case
      when regexp_full_match(v[32], '\d{1,9}') then v[32]::bigint * 1000
      else try_cast(floor(epoch(try_strptime(v[32], '%a, %d %b %Y %H:%M:%S GMT')) - try_cast(v[5] as double)) * 1000 as bigint)
    end as asked_ms
  from extracted
),
classified as (
  select
    *,
    case
      -- a router refusal calls nobody, and its model fields may name the hop that came after: only its text is right
      when not succeeded and (error_name = 'RouterRateLimitError' or starts_with(error_text, 'No deployments available')) then 'refusal'
      when not succeeded and guardrail in ('guardrail_intervened', 'blocked') then 'guardrail'
      when succeeded and cache_flag then 'cache_hit'
      else 'call'
    end as kind,
    -- a failure with a first token before its end was cut while it streamed
    not succeeded and token_at < done_at and completion_tokens > 0 as cut
  from named
)
select
  line,
  case
    when request_id is null then 'no litellm_call_id'
    when logged_status is null or logged_status not in ('success', 'failure') then 'status is neither success nor failure'
    when began_at is null then 'startTime is not a time in epoch seconds'
    when done_at is null then 'endTime is not a time in epoch seconds'
    when began_at < timestamptz '2015-01-01 00:00:00+00' or done_at > timestamptz '2100-01-01 00:00:00+00' then 'startTime or endTime is not in epoch seconds'
    when done_at < began_at then 'endTime is before startTime'
  end as reject,
  request_id,
  case when succeeded then coalesce(id, request_id) else request_id || '@' || began_text end as attempt_id,
  kind,
  case when kind = 'refusal' then nullif(regexp_extract(error_text, 'Passed model=(.+?)(?:\. |, |\s|$)', 1), '') else model_group end as target,
  case when kind <> 'refusal' then deployment end as deployment,
  case when kind <> 'refusal' then provider end as provider,
  case when kind <> 'refusal' then model end as model,
  began_at as sent_at,
  succeeded and streamed as spans_request,
  case when (streamed or cut) and token_at > began_at then token_at end as first_token_at,
  done_at,
  case when kind = 'call' then round((epoch_us(done_at) - epoch_us(began_at)) / 1000)::bigint end as latency_ms,
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
  case when tools is not null then len(tools) when succeeded then 0 end::integer as tools_offered,
  case when succeeded and answer_logged then coalesce(len(calls), 0) end::integer as tool_calls,
  kind = 'cache_hit' as cache_hit,
  case when kind = 'call' and not succeeded then asked_ms end as retry_after_ms,
  case when succeeded then 1 + coalesce(retries, 0) + coalesce(fallbacks, 0) end::integer as rows_stated,
  fallbacks,
  labelled(conversations, tags, $conversation_id_tag) as conversation_id,
  labelled(tickets, tags, $ticket_id_tag) as ticket_id,
  labelled(intents, tags, $intent_tag) as intent,
  labelled(channels, tags, $channel_tag) as channel,
  case when succeeded then fallbacks > 0 end as is_fallback,
  asked_stream as stream,
  plain_labels(
    headers, requester, spend_labels,
    '{"headers": null, "tags": null, "intent": null, "ticket_id": null, "conversation_id": null, "session_id": null, "trace_id": null, "channel": null, "spend_logs_metadata": null, "used_client_oauth_token": null, "x-intent": null, "x-ticket-id": null, "x-channel": null, "x-litellm-tags": null, "x-litellm-session-id": null, "x-litellm-spend-logs-metadata": null}'
  ) as labels,
  list_transform(calls, lambda c: {
    'id': c.id,
    'ok': coalesce(
      list_has_all(
        json_keys(try_cast(coalesce(nullif(c."function".arguments, ''), '{}') as json)),
        coalesce(list_filter(tools, lambda t: t."function".name = c."function".name)[1]."function".parameters.required, []::varchar[])
      ) and (tools is null or list_contains(list_transform(tools, lambda t: t."function".name), c."function".name)),
      false
    )
  }) as calls_made,
  list_transform(results, lambda r: {
    'id': r.tool_call_id,
    'ok': not coalesce(
      json_extract_string(try_cast(r.content as json), '$.error') not in ('', 'false')
      or json_extract_string(try_cast(r.content as json), '$.ok') = 'false'
      or json_extract_string(try_cast(r.content as json), '$.is_error') = 'true'
      or regexp_matches(r.content, '^\s*(?i:error)\b'),
      false
    )
  }) as tool_results
from classified
