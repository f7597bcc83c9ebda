-- one row per attempt: a route span, with the span of its call where one was written; and one per record that holds neither
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, seq INTEGER, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, tool_result_at TIMESTAMP WITH TIME ZONE, cache_hit BOOLEAN, rows_stated INTEGER, complete BOOLEAN, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, stream BOOLEAN, request_began_at TIMESTAMP WITH TIME ZONE, request_done_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: otel_litellm_v2
-- title: LiteLLM's OpenTelemetry spans in their second layout (LITELLM_OTEL_V2, route and chat spans), as OTLP/JSON
-- table: attempts
-- detect: [resourceSpans]
-- contains: ["litellm.provider.model", "litellm.call_id"]
-- lacks: ["litellm.model_group"]
-- companions: [otel_tools]
-- skips: "spans that are neither routes nor LLM calls"
-- labels:
--   intent:
--     - $."litellm.metadata.requester_metadata.intent"
--     - $.intent
--     - $."support.intent"
--   ticket_id:
--     - $."litellm.metadata.requester_metadata.ticket_id"
--     - $."ticket.id"
--     - $.ticket_id
--   conversation_id:
--     - $."gen_ai.conversation.id"
--     - $."litellm.metadata.requester_metadata.session_id"
--   channel:
--     - $."litellm.metadata.requester_metadata.channel"
--     - $.channel
-- answers:
--   waits: "yes: the gateway's own span of the whole request"
--   errors: "yes: one route span per attempt; of the later failures of a request only that they happened, not which deployment or why"
--   tools: "lower bound: tools offered and the answers that ended in tool calls; what became of them needs execute_tool spans of the application"
--   fidelity: "yes: each attempt's target is on its route span"
-- hints:
--   intents: "let LiteLLM put the request's metadata on its spans: LITELLM_OTEL_BAGGAGE_METADATA_KEYS=requester_metadata.intent,requester_metadata.ticket_id"
--   tickets: "let LiteLLM put the request's metadata on its spans: LITELLM_OTEL_BAGGAGE_METADATA_KEYS=requester_metadata.intent,requester_metadata.ticket_id"
--   tools: "let the application write a span per executed tool (execute_tool NAME, with error.type where it failed)"
-- ---
with spans as (
  select line, unnest(otlp_spans(record)) as s from raw
),
logged as (
  select
    line, coalesce(s.traceId, '') as trace_id, nullif(s.spanId, '') as span_id, coalesce(s.parentSpanId, '') as parent_id, s.name as name,
    instant(s.startTimeUnixNano, null) as began_at, instant(s.endTimeUnixNano, null) as done_at,
    coalesce(s.status.code, '') in ('2', 'STATUS_CODE_ERROR') as failed, s.attributes as listed, otlp_attributes(s.attributes) as attributes
  from spans
),
extracted as (
  select
    *,
    json_extract_string(attributes, [
      '$."gen_ai.operation.name"', '$."litellm.call_id"', '$."gen_ai.request.model"', '$."litellm.provider.model"',
      '$."gen_ai.provider.name"', '$."server.address"', '$."server.port"', '$."error.type"', '$."litellm.provider.error.code"',
      '$."litellm.request.streaming"', '$."gen_ai.response.time_to_first_chunk"', '$."gen_ai.usage.input_tokens"',
      '$."gen_ai.usage.output_tokens"', '$."litellm.cost.total"', '$."litellm.request.tools.declared"', '$."litellm.request.purpose"',
      '$."gen_ai.response.finish_reasons"', '$."http.response.status_code"', '$."gen_ai.output.messages"', '$."error.message"'
    ]) as v,
    list_filter(json_extract_string(attributes, $intent_paths), lambda x: x <> '')[1] as intent,
    list_filter(json_extract_string(attributes, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
    list_filter(json_extract_string(attributes, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
    list_filter(json_extract_string(attributes, $channel_paths), lambda x: x <> '')[1] as channel
  from logged
),
told as (
  -- delivered twice, a span is still one
  select distinct on (trace_id, span_id, reject)
    *,
    v[16] is null and (v[1] in ('chat', 'text_completion', 'generate_content', 'embeddings') and (v[2] is not null or v[4] is not null)) as is_call,
    starts_with(name, 'route ') and v[1] is null as is_route
  from (
    select
      *,
      case
        when span_id is null then 'no spanId'
        when began_at is null then 'startTimeUnixNano is not a time'
        when done_at is null then 'endTimeUnixNano is not a time'
        when not (in_our_time(began_at) and in_our_time(done_at)) then 'startTimeUnixNano or endTimeUnixNano is not in nanoseconds'
        when done_at < began_at then 'endTimeUnixNano is before startTimeUnixNano'
      end as reject
    from extracted
  )
  order by trace_id, span_id, reject, done_at, line
),
sound as (
  select
    *,
    -- routes and calls of one request hang under the gateway's span of it; a trace may hold a whole conversation
    trace_id || ':' || parent_id as request_key
  from told
  where reject is null and (is_call or is_route)
),
routes as (
  select *, substr(name, 7) as model_group, row_number() over (partition by request_key order by began_at, span_id) as place
  from sound where is_route
),
calls as (
  select *, coalesce(nullif(v[8], ''), '') in ('RouterRateLimitError') as refused, failed or coalesce(v[8], '') <> '' as bad from sound where is_call
),
-- the route of a call: an answer's is the last one of its group, a failure's the first that is not the answer's
answers as (
  select c.span_id as call_id, c.request_key, max(r.place) as place
  from calls as c
  join routes as r on r.request_key = c.request_key and r.model_group = c.v[3] and not r.failed
  where not c.bad
  group by all
),
failures as (
  select c.span_id as call_id, c.request_key, min(r.place) as place
  from calls as c
  join routes as r on r.request_key = c.request_key and r.model_group = c.v[3] and r.failed = c.refused
  where c.bad and (r.request_key, r.place) not in (select (request_key, place) from answers)
  group by all
),
matched as (
  select distinct on (request_key, place) * from (select * from answers union all select * from failures) order by request_key, place, call_id
),
wholes as (
  select trace_id || ':' || span_id as request_key, min(began_at) as began_at, max(done_at) as done_at, bool_or(failed) as failed, max(v[18]) as http_status
  from told
  where reject is null and not is_call and not is_route and trace_id || ':' || span_id in (select request_key from sound)
  group by all
),
shared as (
  select
    request_key, coalesce(min(v[2]), min(request_key)) as request_id,
    arg_min(intent, began_at) as intent, arg_min(ticket_id, began_at) as ticket_id,
    arg_min(conversation_id, began_at) as conversation_id, arg_min(channel, began_at) as channel
  from sound
  group by request_key
),
tools as (
  select trace_id, span_id, parent_id, began_at, done_at, failed or coalesce(v[8], '') <> '' as bad
  from told
  where reject is null and trace_id <> '' and (v[1] = 'execute_tool' or regexp_matches(name, '^(execute_tool|tools/call) '))
),
used as (
  -- a tool serves the last answer that began before it in its trace
  select c.trace_id, c.span_id as caller_id, count(*) as ran, count(*) filter (where o.bad) as failed, max(o.done_at) as known_at
  from (select * from tools where (trace_id, parent_id) not in (select (trace_id, span_id) from tools)) as o
  asof join (select * from calls where not bad) as c on c.trace_id = o.trace_id and o.began_at >= c.began_at
  group by all
),
attempts as (
  select
    r.request_key, r.line, r.span_id as route_id, r.place, r.model_group, r.began_at as routed_from, r.done_at as routed_at, r.failed as refused,
    c.span_id as call_id
  from routes as r
  left join matched as m on m.request_key = r.request_key and m.place = r.place
  left join calls as c on c.span_id = m.call_id and c.request_key = r.request_key
  union all by name
  select request_key, line, v[3] as model_group, refused, span_id as call_id
  from calls
  where span_id not in (select call_id from matched)
),
joined as (
  select
    a.*, c.began_at as call_from, c.done_at as call_done, c.bad, c.v as v, c.listed as listed,
    w.began_at as whole_began_at, w.done_at as whole_done_at,
    coalesce(w.failed, false) or coalesce(try_cast(w.http_status as integer), 200) >= 400 as whole_failed, w.request_key is not null as with_whole,
    row_number() over (partition by a.request_key order by coalesce(routed_from, call_from), coalesce(route_id, a.call_id))::integer as seq,
    count(*) over (partition by a.request_key)::integer as attempts,
    count(a.call_id) over (partition by a.request_key) as written
  from attempts as a
  left join calls as c on c.span_id = a.call_id and c.request_key = a.request_key
  left join wholes as w on w.request_key = a.request_key
),
classified as (
  select
    *,
    case
      when refused then 'refusal'
      -- a request that was answered without any call
      when call_id is null and written = 0 and attempts = 1 and with_whole and not whole_failed then 'cache_hit'
      else 'call'
    end as kind,
    case
      when call_id is not null and not bad then 'ok'
      when refused then 'error'
      when call_id is null and written = 0 and attempts = 1 then case when with_whole and not whole_failed then 'ok' when with_whole then 'error' end
      -- the client had its answer begun, and no answer was written: it was cut
      when call_id is null and seq = attempts and with_whole and not whole_failed then 'cut'
      when call_id is null and seq = attempts and not with_whole then null
      when call_id is null then 'error'
      when coalesce(whole(v[13]), 0) > 0 and lower(v[10]) = 'true' then 'cut'
      when error_said(v[8], v[9], v[20]) = 'timeout' then 'timeout'
      else 'error'
    end as status
  from joined
),
given as (
  select
    line, null::varchar as reject,
    s.request_id,
    coalesce(route_id, call_id) as attempt_id,
    seq,
    kind,
    nullif(model_group, '') as target,
    case when kind = 'call' then nullif(v[6], '') || coalesce(':' || nullif(v[7], ''), '') end as deployment,
    case when kind = 'call' then nullif(v[5], '') end as provider,
    case when kind = 'call' then nullif(v[4], '') end as model,
    greatest(call_from, routed_at) as sent_at,  -- a stream's span may start with its request
    case when not bad and amount(v[11]) * 1e6 <= epoch_us(call_done) - epoch_us(call_from) then call_from + to_microseconds(whole(amount(v[11]) * 1e6)) end as first_token_at,
    case when kind = 'call' then call_done else routed_at end as done_at,
    case when kind = 'call' and call_done is not null then greatest(0, round((epoch_us(call_done) - epoch_us(greatest(call_from, routed_at))) / 1000))::bigint end as latency_ms,
    status,
    case
      when status = 'ok' or status is null then null
      when kind = 'refusal' then '429'
      when status = 'cut' then 'cut'
      when call_id is null then 'unknown'
      else error_said(v[8], v[9], v[20])
    end as error_class,
    -- zeros on a failure are unknown
    case when status = 'ok' or status = 'cut' then whole(v[12]) end as prompt_tokens,
    case when status = 'ok' or status = 'cut' then whole(v[13]) end as completion_tokens,
    case when status = 'ok' or status = 'cut' then amount(v[14]) end as cost_usd,
    case
      when call_id is null then null
      when v[15] is not null then try_cast(whole(v[15]) as integer)
      else nullif(len(list_filter(listed, lambda a: regexp_full_match(a.key, 'gen_ai\.tool\.\d+\.name'))), 0)
    end::integer as tools_offered,
    case
      when status <> 'ok' or call_id is null then null
      when u.ran > 0 then u.ran
      when v[19] is not null then (len(v[19]) - len(replace(v[19], '"tool_call"', ''))) // 11
      when v[17] is not null and not contains(v[17], 'tool_call') then 0
    end::integer as tool_calls,
    u.failed::integer as tool_errors,
    u.known_at as tool_result_at,
    kind = 'cache_hit' as cache_hit,
    attempts as rows_stated,
    route_id is not null as complete,
    s.conversation_id, s.ticket_id, s.intent, s.channel,
    case when call_id is not null then coalesce(lower(v[10]) = 'true', false) end as stream,
    whole_began_at as request_began_at,
    whole_done_at as request_done_at
  from classified as c
  join shared as s on s.request_key = c.request_key
  left join used as u on u.trace_id = split_part(c.request_key, ':', 1) and u.caller_id = c.call_id
  union all by name
  select line, reject, v[2] as request_id, span_id as attempt_id from told where reject is not null and (is_call or is_route)
)
select * from given
union all by name
select line, 'not for us: ' || case when count(span_id) = 0 then 'no spans' else 'neither a route nor an LLM call' end as reject, min(span_id) as attempt_id
from logged
where line not in (select line from given)
group by line
