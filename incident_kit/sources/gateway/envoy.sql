-- one row per client request: its last attempt, which is the one that the line describes
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[], $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, rows_stated INTEGER, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, requested VARCHAR, is_fallback BOOLEAN, stream BOOLEAN, request_began_at TIMESTAMP WITH TIME ZONE, request_done_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: envoy
-- title: Envoy AI Gateway access log (JSON; the field names of its documentation)
-- table: attempts
-- one_to_one: true
-- detect: [start_time, duration, response_code, "x-request-id|x_request_id|request_id", "gen_ai.request.model|gen_ai.provider.name|gen_ai.response.model"]
-- labels:
--   intent:
--     - $."support.intent"
--     - $.intent
--     - $."x-intent"
--   ticket_id:
--     - $."ticket.id"
--     - $.ticket_id
--     - $."x-ticket-id"
--   conversation_id:
--     - $."session.id"
--     - $."gen_ai.conversation.id"
--     - $."x-session-id"
--   channel:
--     - $.channel
--     - $."x-channel"
-- answers:
--   waits: "yes: each line times the whole request, all attempts included"
--   errors: "no: one line a request, of its last attempt only, so a failure that a retry or a fallback rescued leaves none; log %UPSTREAM_REQUEST_ATTEMPT_COUNT% as upstream_request_attempt_count to see at least how many there were, or load the gateway's GenAI spans (AI_GATEWAY_TRACING_SEMCONV=gen_ai)"
--   tools: "no: the access log holds no messages; load the application's execute_tool spans"
--   fidelity: "lower bound: the backend that answered is in the line; what was tried before it shows only as a number of attempts, where that is logged"
-- hints:
--   intents: "map a request header to an attribute (logRequestHeaderAttributes) and log it as support.intent"
--   tickets: "map a request header to an attribute (logRequestHeaderAttributes) and log it as ticket.id"
-- ---
with extracted as (
  select
    line,
    list_transform(json_extract_string(record, [
      '$.start_time', '$.duration', '$.response_code', '$.response_flags', '$."x-request-id"', '$.x_request_id', '$.request_id',
      '$."gen_ai.request.model"', '$."gen_ai.request.model_override"', '$."gen_ai.response.model"', '$."gen_ai.provider.name"',
      '$."gen_ai.usage.input_tokens"', '$."gen_ai.usage.output_tokens"', '$.token_latency_ttft', '$.upstream_request_attempt_count',
      '$.upstream_host', '$."x-envoy-upstream-service-time"', '$.response_code_details', '$.ai_service_backend_name'
    ] || $intent_paths || $ticket_id_paths || $conversation_id_paths || $channel_paths), lambda x: nullif(nullif(x, '-'), '')) as v  -- Envoy writes - for nothing
  from raw
),
named as (
  select
    line,
    v[20:19 + len($intent_paths)] as intents,
    v[20 + len($intent_paths):19 + len($intent_paths || $ticket_id_paths)] as tickets,
    v[20 + len($intent_paths || $ticket_id_paths):19 + len($intent_paths || $ticket_id_paths || $conversation_id_paths)] as conversations,
    v[20 + len($intent_paths || $ticket_id_paths || $conversation_id_paths):] as channels,
    instant(v[1], $zone) as began_at,
    zoneless(v[1]) and $zone is null as zone_missing,
    v[1] as began_text,
    whole(v[2]) as duration_ms,
    whole(v[3]) as code,
    string_split(coalesce(v[4], ''), ',') as flags,
    coalesce(v[5], v[6], v[7]) as request_id,
    coalesce(v[9], v[8]) as asked_model,
    v[10] as model,
    v[11] as backend,
    -- namespace/name/route/ROUTE/rule/N/ref/M, or namespace/name: the second part names what was called
    coalesce(nullif(split_part(coalesce(v[19], v[11]), '/', 2), ''), v[19], v[11]) as backend_name,
    try_cast(nullif(regexp_extract(v[11], '/ref/(\d{1,6})$', 1), '') as integer) as place,
    whole(v[12]) as prompt_tokens,
    whole(v[13]) as completion_tokens,
    whole(v[14]) as ttft_ms,
    try_cast(whole(v[15]) as integer) as attempts,
    v[16] as upstream_host,
    whole(v[17]) as service_ms,
    coalesce(v[18], '') as details
  from extracted
),
classified as (
  select
    *,
    case
      -- nobody was called: no healthy host, no route, a limit, a circuit breaker, a denial
      when upstream_host is null and (list_has_any(flags, ['UH', 'NR', 'RL', 'RLSE', 'UO', 'UAEX', 'DI', 'FI', 'NC']) or code in (401, 403, 404, 429)) then 'refusal'
      else 'call'
    end as kind,
    case
      when list_has_any(flags, ['UT', 'SI', 'DT', 'DPE']) or code in (408, 504) or contains(details, 'timeout') then 'timeout'
      when code between 200 and 399 and list_has_any(flags, ['DC', 'UC', 'UR', 'LR', 'UPE']) then 'cut'
      when code between 200 and 399 then 'ok'
      else 'error'
    end as status
  from named
)
select
  line,
  case
    when request_id is null then 'no x-request-id'
    when began_text is null then 'no start_time'
    when zone_missing then 'start_time: ''' || left(began_text, 40) || ''' has no time zone'
    when began_at is null then 'start_time is not a time'
    when not in_our_time(began_at) then 'start_time is not a time of our days'
    when duration_ms is null then 'duration is not a number of milliseconds'
    when code is null then 'response_code is not a number'
  end as reject,
  request_id,
  request_id as attempt_id,
  kind,
  backend_name as target,
  case when kind = 'call' then upstream_host end as deployment,
  case when kind = 'call' then split_part(backend, '/', 1) end as provider,
  case when kind = 'call' then coalesce(model, asked_model) end as model,
  case
    when kind = 'call' and attempts > 1 then began_at + to_milliseconds(greatest(0, duration_ms - service_ms))
    else began_at
  end as sent_at,
  case when status in ('ok', 'cut') and kind = 'call' and ttft_ms <= duration_ms then began_at + to_milliseconds(ttft_ms) end as first_token_at,
  began_at + to_milliseconds(duration_ms) as done_at,
  case
    when kind <> 'call' then null
    -- after earlier attempts only the upstream's own time is of this one; of a stream that is the time to its headers
    when attempts > 1 and ttft_ms is null then least(service_ms, duration_ms)
    when attempts > 1 then null
    else duration_ms
  end as latency_ms,
  status,
  case
    when status = 'ok' then null
    when status = 'cut' then 'cut'
    when status = 'timeout' then 'timeout'
    when list_has_any(flags, ['UF', 'UC', 'UR', 'LR', 'URX']) and code in (0, 502, 503) then 'connection'
    when list_has_any(flags, ['RL', 'RLSE']) then '429'
    when code between 400 and 599 then code::varchar
    else 'unknown'
  end as error_class,
  -- tokens are written at the successful end of a stream only
  case when status = 'ok' then prompt_tokens end as prompt_tokens,
  case when status = 'ok' then completion_tokens end as completion_tokens,
  case when attempts is not null then greatest(attempts, 1) end as rows_stated,
  list_filter(conversations, lambda x: x is not null)[1] as conversation_id,
  list_filter(tickets, lambda x: x is not null)[1] as ticket_id,
  list_filter(intents, lambda x: x is not null)[1] as intent,
  list_filter(channels, lambda x: x is not null)[1] as channel,
  -- '' says that it cannot be known: after another attempt, or where the count is not logged and this is no first backend
  case when coalesce(attempts, case when place > 0 then 2 else 1 end) > 1 and coalesce(place, 1) > 0 then '' end as requested,
  case
    when status = 'ok' and attempts > 1 and place > 0 then true
    when status = 'ok' and (attempts = 1 or place = 0) then false
  end as is_fallback,
  case when ttft_ms is not null then true end as stream,
  began_at as request_began_at,
  began_at + to_milliseconds(duration_ms) as request_done_at
from classified
