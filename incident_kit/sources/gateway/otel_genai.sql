-- one row per span of an LLM call that is not the span around other ones, and one per record that holds none
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, tool_result_at TIMESTAMP WITH TIME ZONE, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, requested VARCHAR, stream BOOLEAN, calls_made STRUCT(id VARCHAR, ok BOOLEAN)[], tool_results STRUCT(id VARCHAR, ok BOOLEAN)[], request_began_at TIMESTAMP WITH TIME ZONE, request_done_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: otel_genai
-- title: OpenTelemetry spans of the GenAI conventions (chat, generate_content, text_completion, embeddings), as OTLP/JSON
-- table: attempts
-- detect: [resourceSpans]
-- contains: ["gen_ai.request.model"]
-- lacks: ["litellm.provider.model"]
-- companions: [otel_tools]
-- skips: "spans that are no LLM calls"
-- labels:
--   intent:
--     - $.intent
--     - $."support.intent"
--     - $."app.intent"
--   ticket_id:
--     - $."ticket.id"
--     - $.ticket_id
--     - $."support.ticket_id"
--   conversation_id:
--     - $."gen_ai.conversation.id"
--     - $."session.id"
--   channel:
--     - $.channel
--     - $."support.channel"
-- answers:
--   waits: "lower bound: a span times the call as the application saw it; what else its user waited for is not in it"
--   errors: "lower bound: by the conventions one span covers a call with its automatic retries, so what a retry rescued leaves no row"
--   tools: "yes: execute_tool spans, or the messages where the application writes them (gen_ai.input.messages, gen_ai.output.messages)"
--   fidelity: "lower bound: a fallback shows only where the application itself made another call, as a span beside the failed one"
-- hints:
--   intents: "set an attribute intent (or another, and say labels=) on the spans"
--   tickets: "set an attribute ticket.id (or another, and say labels=) on the spans"
--   tools: "let the application write a span per executed tool (execute_tool NAME, with error.type where it failed)"
-- ---
with recursive spans as (
  select line, unnest(otlp_spans(record)) as s from raw
),
logged as (
  select
    line, coalesce(s.traceId, '') as trace_id, nullif(s.spanId, '') as span_id, nullif(s.parentSpanId, '') as parent_id, s.name as name,
    instant(s.startTimeUnixNano, null) as began_at, instant(s.endTimeUnixNano, null) as done_at,
    coalesce(s.status.code, '') in ('2', 'STATUS_CODE_ERROR') as failed, otlp_attributes(s.resource) as resource, otlp_attributes(s.attributes) as attributes
  from spans
),
extracted as (
  select
    *,
    json_extract_string(attributes, [
      '$."gen_ai.operation.name"', '$."gen_ai.request.model"', '$."gen_ai.response.model"', '$."gen_ai.provider.name"', '$."gen_ai.system"',
      '$."server.address"', '$."server.port"', '$."error.type"', '$."gen_ai.request.stream"', '$."gen_ai.response.time_to_first_chunk"',
      '$."gen_ai.usage.input_tokens"', '$."gen_ai.usage.prompt_tokens"', '$."gen_ai.usage.output_tokens"',
      '$."gen_ai.usage.completion_tokens"', '$."gen_ai.response.finish_reasons"', '$."gen_ai.tool.definitions"',
      '$."gen_ai.output.messages"', '$."gen_ai.input.messages"', '$."gen_ai.cost.total_cost"', '$."gen_ai.usage.cost"'
    ]) as v,
    list_filter(json_extract_string(attributes, $intent_paths) || json_extract_string(resource, $intent_paths), lambda x: x <> '')[1] as intent,
    list_filter(json_extract_string(attributes, $ticket_id_paths) || json_extract_string(resource, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
    list_filter(json_extract_string(attributes, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
    list_filter(json_extract_string(attributes, $channel_paths) || json_extract_string(resource, $channel_paths), lambda x: x <> '')[1] as channel
  from logged
),
told as (
  -- delivered twice, a span is still one
  select distinct on (trace_id, span_id, reject)
    *,
    coalesce(v[1] in ('chat', 'generate_content', 'text_completion', 'embeddings'), v[2] is not null) as is_call,
    coalesce(v[1] = 'execute_tool' or regexp_matches(name, '^(execute_tool|tools/call) '), false) as is_tool,
    failed or coalesce(v[8], '') <> '' as bad
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
  select * from told where reject is null and is_call
),
above as (
  -- the spans over a call, a few steps up: a gateway's span may lie below a client's, with HTTP spans between
  select trace_id, span_id as call_id, parent_id as over_id, 1 as steps from sound where parent_id is not null
  union
  select a.trace_id, a.call_id, t.parent_id, a.steps + 1
  from above as a
  join told as t on t.trace_id = a.trace_id and t.span_id = a.over_id and t.reject is null
  where a.steps < 6 and t.parent_id is not null and not t.is_call
),
nested as (
  -- what is around a call lasts longer than it: no circle of parents comes through
  select a.trace_id, a.call_id, arg_min(a.over_id, a.steps) as over_id
  from above as a
  join sound as s on s.trace_id = a.trace_id and s.span_id = a.call_id
  join sound as o on o.trace_id = a.trace_id and o.span_id = a.over_id and o.done_at - o.began_at > s.done_at - s.began_at
  group by all
),
calls as (
  -- a span around other calls is their request, not one more call
  select
    s.* replace (
      coalesce(s.intent, o.intent) as intent, coalesce(s.ticket_id, o.ticket_id) as ticket_id,
      coalesce(s.conversation_id, o.conversation_id) as conversation_id, coalesce(s.channel, o.channel) as channel
    ),
    o.span_id as over_id, o.began_at as whole_began_at, o.done_at as whole_done_at, o.v[2] as asked,
    s.trace_id || ':' || coalesce('<' || o.span_id, s.parent_id, '>' || s.span_id) as siblings
  from sound as s
  left join nested as n on n.trace_id = s.trace_id and n.call_id = s.span_id
  left join sound as o on o.trace_id = n.trace_id and o.span_id = n.over_id
  where (s.trace_id, s.span_id) not in (select (trace_id, over_id) from nested)
),
ordered as (
  select
    *,
    -- a call made beside a failed one, after its end, goes on with its request; anything else is a request of its own
    case when over_id is not null or lag(bad) over beside and lag(done_at) over beside <= began_at then 0 else 1 end as begins
  from calls
  window beside as (partition by siblings order by began_at, span_id)
),
placed as (
  select *, sum(begins) over (partition by siblings order by began_at, span_id rows unbounded preceding) as place from ordered
),
grouped as (
  select *, concat_ws(':', nullif(trace_id, ''), coalesce(over_id, first_value(span_id) over (partition by siblings, place order by began_at, span_id))) as request_id
  from placed
),
tools as (
  select trace_id, span_id, parent_id, began_at, done_at, bad from told where reject is null and trace_id <> '' and is_tool
),
used as (
  -- a tool serves the last answer that began before it in its trace
  select c.trace_id, c.span_id as caller_id, count(*) as ran, count(*) filter (where o.bad) as failed, max(o.done_at) as known_at
  from (select * from tools where parent_id is null or (trace_id, parent_id) not in (select (trace_id, span_id) from tools)) as o
  asof join (select * from calls where not bad) as c on c.trace_id = o.trace_id and o.began_at >= c.began_at
  group by all
),
opened as (
  select
    g.*, u.ran, u.failed as tools_failed, u.known_at,
    error_said(v[8], null, null) as error_class,
    bad and lower(v[9]) = 'true' and coalesce(whole(coalesce(v[13], v[14])), 0) > 0 as cut,
    from_json(try_cast(v[16] as json), '[{"name": "VARCHAR", "function": {"name": "VARCHAR"}}]') as tools,
    list_filter(
      flatten(list_transform(from_json(try_cast(v[17] as json), '[{"parts": [{"type": "VARCHAR", "id": "VARCHAR", "name": "VARCHAR", "arguments": "VARCHAR"}]}]'), lambda m: m.parts)),
      lambda p: p.type = 'tool_call'
    ) as made,
    list_filter(
      flatten(list_transform(from_json(try_cast(v[18] as json), '[{"parts": [{"type": "VARCHAR", "id": "VARCHAR", "response": "VARCHAR", "result": "VARCHAR"}]}]'), lambda m: m.parts)),
      lambda p: p.type = 'tool_call_response' and p.id is not null
    ) as results
  from grouped as g
  left join used as u on u.trace_id = g.trace_id and u.caller_id = g.span_id
),
attempts as (
  select
    line, null::varchar as reject, request_id, span_id as attempt_id, 'call' as kind,
    nullif(v[2], '') as target,
    nullif(v[6], '') || coalesce(':' || nullif(v[7], ''), '') as deployment,
    coalesce(nullif(v[4], ''), nullif(v[5], '')) as provider,
    nullif(v[3], '') as model,
    began_at as sent_at,
    case when (not bad or cut) and amount(v[10]) * 1e6 <= epoch_us(done_at) - epoch_us(began_at) then began_at + to_microseconds(whole(amount(v[10]) * 1e6)) end as first_token_at,
    done_at,
    round((epoch_us(done_at) - epoch_us(began_at)) / 1000)::bigint as latency_ms,
    case when not bad then 'ok' when cut then 'cut' when error_class = 'timeout' then 'timeout' else 'error' end as status,
    case when not bad then null when cut then 'cut' else error_class end as error_class,
    -- zeros on a failure are unknown
    case when not bad or cut then whole(coalesce(v[11], v[12])) end as prompt_tokens,
    case when not bad or cut then whole(coalesce(v[13], v[14])) end as completion_tokens,
    case when not bad or cut then amount(coalesce(v[19], v[20])) end as cost_usd,
    len(tools)::integer as tools_offered,
    case
      when bad then null
      when ran > 0 or v[17] is not null then greatest(ran, len(made))
      when v[15] is not null and not contains(v[15], 'tool_call') then 0
    end::integer as tool_calls,
    tools_failed::integer as tool_errors,
    known_at as tool_result_at,
    conversation_id, ticket_id, intent, channel,
    asked as requested,
    coalesce(lower(v[9]) = 'true', v[10] is not null) as stream,
    case when ran is null and v[17] is not null then list_transform(made, lambda c: {
      'id': c.id,
      'ok': coalesce(
        json_type(try_cast(coalesce(nullif(c.arguments, ''), '{}') as json)) = 'OBJECT'
        and (tools is null or list_contains(list_transform(tools, lambda t: coalesce(t.name, t."function".name)), c.name)),
        false
      )
    }) end as calls_made,
    list_transform(results, lambda r: {
      'id': r.id,
      'ok': not coalesce(
        json_extract_string(try_cast(coalesce(r.response, r.result) as json), '$.error') not in ('', 'false')
        or json_extract_string(try_cast(coalesce(r.response, r.result) as json), '$.ok') = 'false'
        or json_extract_string(try_cast(coalesce(r.response, r.result) as json), '$.is_error') = 'true'
        or regexp_matches(coalesce(r.response, r.result), '^\s*"?(?i:error)\b'),
        false
      )
    }) as tool_results,
    whole_began_at as request_began_at, whole_done_at as request_done_at
  from opened
),
given as (
  select * from attempts
  union all by name
  select line, reject, nullif(trace_id, '') as request_id, span_id as attempt_id from told where reject is not null and is_call
)
select * from given
union all by name
select line, 'not for us: ' || case when count(span_id) = 0 then 'no spans' else 'no span of an LLM call of its own' end as reject, min(span_id) as attempt_id
from logged
where line not in (select line from given)
group by line
