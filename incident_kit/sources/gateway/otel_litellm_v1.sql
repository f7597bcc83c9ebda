-- one row per span of a logged call (litellm_request, or what the client's generation_name says), and one per record that holds none
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[], $intent_tag VARCHAR, $ticket_id_tag VARCHAR, $conversation_id_tag VARCHAR, $channel_tag VARCHAR
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, spans_request BOOLEAN, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, cache_hit BOOLEAN, rows_stated INTEGER, fallbacks INTEGER, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, is_fallback BOOLEAN, stream BOOLEAN, labels JSON, calls_made STRUCT(id VARCHAR, ok BOOLEAN)[], tool_results STRUCT(id VARCHAR, ok BOOLEAN)[], request_began_at TIMESTAMP WITH TIME ZONE, request_done_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: otel_litellm_v1
-- title: LiteLLM's OpenTelemetry spans in their first layout (litellm_request), as OTLP/JSON
-- table: attempts
-- detect: [resourceSpans]
-- contains: ["litellm.model_group", "litellm.call_id"]
-- decode: python_repr
-- companions: [otel_tools]
-- skips: "spans that are no LLM calls"
-- labels:
--   intent:
--     - $."metadata.requester_metadata".intent
--     - $."metadata.spend_logs_metadata".intent
--     - $."metadata.requester_custom_headers"."x-intent"
--   ticket_id:
--     - $."metadata.requester_metadata".ticket_id
--     - $."metadata.spend_logs_metadata".ticket_id
--     - $."metadata.requester_custom_headers"."x-ticket-id"
--   conversation_id:
--     - $."gen_ai.conversation.id"
--     - $."metadata.requester_metadata".session_id
--     - $."metadata.requester_custom_headers"."x-litellm-session-id"
--     - $."metadata.requester_custom_headers"."x-litellm-trace-id"
--   channel:
--     - $."metadata.requester_metadata".channel
--     - $."metadata.spend_logs_metadata".channel
--     - $."metadata.requester_custom_headers"."x-channel"
-- tags:
--   intent: ^intent:(.+)$
--   ticket_id: ^ticket(?:_id)?:(.+)$
--   channel: ^channel:(.+)$
-- answers:
--   waits: "yes: the gateway's own span of the whole request (Received Proxy Server Request)"
--   errors: "lower bound: this layout writes at most the first failure of a request, so later failures (the backup's above all) are hidden; LITELLM_OTEL_V2=true writes one route span per attempt"
--   tools: "yes: calls and results are in the spans' messages (unless message logging is turned off)"
--   fidelity: "yes: the rows say what was asked for, what was refused and what answered"
-- hints:
--   intents: "send metadata.intent in the body of every request, or a tag intent:NAME"
--   tickets: "send metadata.ticket_id in the body of every request"
-- ---
with spans as (
  select line, unnest(otlp_spans(record)) as s from raw
),
logged as (
  select
    line, s.traceId as trace_id, nullif(s.spanId, '') as span_id, nullif(s.parentSpanId, '') as parent_id, s.name as name,
    instant(s.startTimeUnixNano, null) as began_at, instant(s.endTimeUnixNano, null) as done_at,
    s.status.code as code, s.attributes as listed, otlp_attributes(s.attributes) as attributes,
    -- a client may rename its span, and so does the newer GenAI vocabulary
    coalesce(s.name = 'litellm_request' or list_has_any(list_transform(s.attributes, lambda a: a.key), ['litellm.model_group']), false) as is_call
  from spans
),
calls as (
  select * from logged where is_call
),
-- the span above a call is the gateway's own of the whole request; delivered twice it is still one
wholes as (
  select trace_id, span_id, min(began_at) as began_at, max(done_at) as done_at
  from logged
  where (trace_id, span_id) in (select (trace_id, parent_id) from calls) and not is_call
  group by all
),
extracted as (
  select
    c.*, w.began_at as whole_began_at, w.done_at as whole_done_at,
    json_extract_string(attributes, [
      '$."litellm.call_id"', '$."gen_ai.response.id"', '$."litellm.model_group"', '$."litellm.provider.model"', '$."gen_ai.system"',
      '$."error.type"', '$."error.code"', '$."error.message"', '$."llm.is_streaming"', '$."gen_ai.usage.input_tokens"',
      '$."gen_ai.usage.output_tokens"', '$."gen_ai.cost.total_cost"', '$."gen_ai.request.model"', '$."gen_ai.input.messages"',
      '$."gen_ai.output.messages"', '$."metadata.requester_metadata"', '$."metadata.spend_logs_metadata"',
      '$."metadata.requester_custom_headers"', '$."metadata.requester_metadata".tags',
      '$."metadata.requester_custom_headers"."x-litellm-tags"', '$.hidden_params', '$."metadata.usage_object".completion_tokens',
      '$."gen_ai.provider.name"', '$."gen_ai.usage.prompt_tokens"', '$."gen_ai.usage.completion_tokens"',
      '$."gen_ai.request.stream"', '$."gen_ai.response.finish_reasons"'
    ]) as v,
    json_extract_string(attributes, $intent_paths) as intents,
    json_extract_string(attributes, $ticket_id_paths) as tickets,
    json_extract_string(attributes, $conversation_id_paths) as conversations,
    json_extract_string(attributes, $channel_paths) as channels
  from calls as c
  left join wholes as w on w.trace_id = c.trace_id and w.span_id = c.parent_id
),
opened as (
  select *, json_extract_string(try_cast(v[21] as json), [
    '$.model_id', '$.additional_headers."x-litellm-attempted-retries"', '$.additional_headers."x-litellm-attempted-fallbacks"'
  ]) as hidden
  from extracted
),
named as (
  select
    line, trace_id, span_id, began_at, done_at, whole_began_at, whole_done_at, intents, tickets, conversations, channels,
    coalesce(nullif(v[1], ''), nullif(trace_id, '')) as request_id,
    nullif(v[2], '') as response_id,
    coalesce(code, '') not in ('2', 'STATUS_CODE_ERROR') as succeeded,
    nullif(v[3], '') as model_group,
    nullif(hidden[1], '') as deployment,
    nullif(coalesce(v[5], v[23]), '') as provider,
    coalesce(nullif(v[4], ''), nullif(v[13], '')) as model,
    coalesce(v[6], '') as error_name,
    coalesce(v[7], '') as error_code,
    coalesce(v[8], '') as error_text,
    coalesce(lower(coalesce(v[9], v[26])) = 'true', false) as streamed,
    v[9] is not null as older_words,
    coalesce(contains(v[27], 'tool_call'), false) as ended_in_calls,
    whole(coalesce(v[10], v[24])) as prompt_tokens,
    whole(coalesce(v[11], v[25], v[22])) as completion_tokens,
    amount(v[12]) as cost_usd,
    v[16] as requester, v[17] as spend_labels, v[18] as headers,
    coalesce(from_json(try_cast(v[19] as json), '["VARCHAR"]'), []) || coalesce(string_split(v[20], ','), []) as tags,
    try_cast(hidden[2] as integer) as retries,
    try_cast(hidden[3] as integer) as fallbacks,
    v[15] is not null as answer_logged,
    list_transform(
      list_filter(listed, lambda a: regexp_full_match(a.key, 'llm\.request\.functions\.\d+\.name')),
      lambda a: {
        'name': a.value.stringValue->>'$',
        'required': from_json(
          json_extract(try_cast(list_filter(listed, lambda b: b.key = regexp_replace(a.key, 'name$', 'parameters'))[1].value.stringValue->>'$' as json), '$.required'),
          '["VARCHAR"]'
        )
      }
    ) as tools,
    list_transform(
      list_filter(listed, lambda a: regexp_full_match(a.key, 'gen_ai\.completion\.\d+\.function_call\.name')),
      lambda a: {
        'name': a.value.stringValue->>'$',
        'arguments': list_filter(listed, lambda b: b.key = regexp_replace(a.key, 'name$', 'arguments'))[1].value.stringValue->>'$'
      }
    ) as calls,
    case when contains(v[14], '"tool_call_id"') then
      from_json(try_cast(v[14] as json), '[{"role": "VARCHAR", "tool_call_id": "VARCHAR", "parts": [{"content": "VARCHAR"}], "tool_calls": [{"id": "VARCHAR", "function": {"name": "VARCHAR", "arguments": "VARCHAR"}}]}]')
    end as messages
  from opened
),
classified as (
  select
    *,
    flatten(list_filter(list_transform(messages, lambda m: m.tool_calls), lambda t: t is not null)) as calls_before,
    list_filter(messages, lambda m: m.role = 'tool' and m.tool_call_id is not null) as results,
    case
      -- a router refusal calls nobody, and its model attributes may name the hop that came after: only its text is right
      when not succeeded and (error_name = 'RouterRateLimitError' or contains(error_text, 'No deployments available')) then 'refusal'
      -- nothing marks a cache hit: it repeats an earlier answer's id, and is faster than any network
      when succeeded and (
        done_at - began_at < interval 5 milliseconds
        or done_at - began_at < interval 50 milliseconds
          and first_value(request_id) over (partition by response_id order by began_at, span_id) <> request_id
      ) then 'cache_hit'
      else 'call'
    end as kind,
    not succeeded and streamed and completion_tokens > 0 as cut
  from named
)
select
  line,
  case
    when request_id is null then 'no litellm.call_id and no traceId'
    when span_id is null then 'no spanId'
    when began_at is null then 'startTimeUnixNano is not a time'
    when done_at is null then 'endTimeUnixNano is not a time'
    when not (in_our_time(began_at) and in_our_time(done_at)) then 'startTimeUnixNano or endTimeUnixNano is not in nanoseconds'
    when done_at < began_at then 'endTimeUnixNano is before startTimeUnixNano'
  end as reject,
  request_id,
  span_id as attempt_id,
  kind,
  case when kind = 'refusal' then nullif(regexp_extract(error_text, 'Passed model=(.+?)(?:\. |, |\s|$)', 1), '') else model_group end as target,
  case when kind <> 'refusal' then deployment end as deployment,
  case when kind <> 'refusal' then provider end as provider,
  case when kind <> 'refusal' then model end as model,
  began_at as sent_at,
  succeeded and streamed as spans_request,
  null::timestamptz as first_token_at,
  done_at,
  case when kind = 'call' then round((epoch_us(done_at) - epoch_us(began_at)) / 1000)::bigint end as latency_ms,
  case
    when succeeded then 'ok'
    when cut then 'cut'
    when kind = 'call' and error_said(error_name, error_code, error_text) = 'timeout' then 'timeout'
    else 'error'
  end as status,
  case
    when succeeded then null
    when cut then 'cut'
    when kind = 'refusal' then '429'
    else error_said(error_name, error_code, error_text)
  end as error_class,
  case when succeeded or cut then prompt_tokens end as prompt_tokens,
  case when succeeded or cut then completion_tokens end as completion_tokens,
  -- the attribute is what a cached answer once cost
  case when kind = 'cache_hit' then 0.0 when succeeded or cut then cost_usd end as cost_usd,
  case when len(tools) > 0 then len(tools) when succeeded and older_words then 0 end::integer as tools_offered,
  case when succeeded and answer_logged and (len(calls) > 0 or not ended_in_calls) then len(calls) end::integer as tool_calls,
  kind = 'cache_hit' as cache_hit,
  case when succeeded then try_cast(1 + retries::bigint + fallbacks as integer) end as rows_stated,
  fallbacks,
  labelled(conversations, tags, $conversation_id_tag) as conversation_id,
  labelled(tickets, tags, $ticket_id_tag) as ticket_id,
  labelled(intents, tags, $intent_tag) as intent,
  labelled(channels, tags, $channel_tag) as channel,
  case when succeeded then fallbacks > 0 end as is_fallback,
  case when kind <> 'cache_hit' then streamed end as stream,
  plain_labels(
    headers, requester, spend_labels,
    '{"headers": null, "tags": null, "intent": null, "ticket_id": null, "conversation_id": null, "session_id": null, "trace_id": null, "channel": null, "spend_logs_metadata": null, "used_client_oauth_token": null, "x-intent": null, "x-ticket-id": null, "x-channel": null, "x-litellm-tags": null, "x-litellm-session-id": null, "x-litellm-spend-logs-metadata": null}'
  ) as labels,
  -- a span does not say the id of the call it made: its name and arguments stand for it
  list_transform(calls, lambda c: {
    'id': md5(concat_ws(chr(31), c.name, c.arguments)),
    'ok': coalesce(
      list_has_all(
        json_keys(try_cast(coalesce(nullif(c.arguments, ''), '{}') as json)),
        coalesce(list_filter(tools, lambda t: t.name = c.name)[1].required, []::varchar[])
      )
      and (len(tools) = 0 or list_contains(list_transform(tools, lambda t: t.name), c.name)),
      false
    )
  }) as calls_made,
  list_transform(
    list_filter(
      list_transform(results, lambda r: {'call': list_filter(calls_before, lambda c: c.id = r.tool_call_id)[1], 'content': r.parts[1].content}),
      lambda p: p.call is not null
    ),
    lambda p: {
      'id': md5(concat_ws(chr(31), p.call."function".name, p.call."function".arguments)),
      'ok': not coalesce(
        json_extract_string(try_cast(p.content as json), '$.error') not in ('', 'false')
        or json_extract_string(try_cast(p.content as json), '$.ok') = 'false'
        or json_extract_string(try_cast(p.content as json), '$.is_error') = 'true'
        or regexp_matches(p.content, '^\s*(?i:error)\b'),
        false
      )
    }
  ) as tool_results,
  whole_began_at as request_began_at,
  whole_done_at as request_done_at
from classified
union all by name
select
  line,
  'not for us: ' || case when count(span_id) = 0 then 'no spans' else 'no span of an LLM call' end as reject,
  min(trace_id) as request_id, min(span_id) as attempt_id
from logged
group by line
having not bool_or(is_call)
