-- one row per instant at which tools of a request ended, and signal: how long they took (tool_ms), how many failed (tool_error_rate)
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, name VARCHAR, known_at TIMESTAMP WITH TIME ZONE, numerator DOUBLE, denominator DOUBLE, value DOUBLE, request_id VARCHAR, ticket_id VARCHAR, intent VARCHAR
-- ---
-- name: otel_tools
-- title: OpenTelemetry spans of executed tools (execute_tool, tools/call) as the signals tool_ms and tool_error_rate, as OTLP/JSON
-- table: signals
-- detect: [resourceSpans]
-- contains: ["gen_ai.tool.name"]
-- lacks: ["gen_ai.request.model", "litellm.model_group"]
-- skips: "spans that are no executed tools"
-- labels:
--   intent:
--     - $.intent
--     - $."support.intent"
--     - $."app.intent"
--   ticket_id:
--     - $."ticket.id"
--     - $.ticket_id
--     - $."support.ticket_id"
-- ---
with spans as (
  select line, unnest(otlp_spans(record)) as s from raw
),
logged as (
  select
    line, s.traceId as trace_id, nullif(s.spanId, '') as span_id, nullif(s.parentSpanId, '') as parent_id, s.name as name,
    instant(s.startTimeUnixNano, null) as began_at, instant(s.endTimeUnixNano, null) as done_at, s.status.code as code,
    otlp_attributes(s.resource) as resource, otlp_attributes(s.attributes) as attributes
  from spans
),
told as (
  select
    *,
    json_extract_string(attributes, ['$."gen_ai.operation.name"', '$."error.type"', '$."litellm.call_id"', '$."gen_ai.tool.name"', '$."gen_ai.request.model"']) as v,
    list_filter(json_extract_string(attributes, $intent_paths) || json_extract_string(resource, $intent_paths), lambda x: x <> '')[1] as intent,
    list_filter(json_extract_string(attributes, $ticket_id_paths) || json_extract_string(resource, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id
  from logged
),
tools as (
  -- delivered twice, a span is still one
  select distinct on (trace_id, span_id) *
  from told
  where v[1] = 'execute_tool' or (v[4] is not null and regexp_matches(name, '^(execute_tool|tools/call) '))
  order by trace_id, span_id, done_at, line
),
traces as (
  -- a tool's own span rarely says what it was for: another one of its trace may
  select trace_id, arg_min(intent, began_at) as intent, arg_min(ticket_id, began_at) as ticket_id from told where trace_id <> '' group by trace_id
),
outermost as (
  select
    line, began_at, done_at,
    case
      when began_at is null then 'startTimeUnixNano is not a time'
      when done_at is null then 'endTimeUnixNano is not a time'
      when not (in_our_time(began_at) and in_our_time(done_at)) then 'startTimeUnixNano or endTimeUnixNano is not in nanoseconds'
      when done_at < began_at then 'endTimeUnixNano is before startTimeUnixNano'
    end as reject,
    nullif(v[3], '') as request_id,
    coalesce(code, '') in ('2', 'STATUS_CODE_ERROR') or coalesce(v[2], '') <> '' as failed,
    coalesce(o.intent, t.intent) as intent,
    coalesce(o.ticket_id, t.ticket_id) as ticket_id
  from tools as o
  left join traces as t on t.trace_id = o.trace_id
  -- the span of an MCP call below the span of the tool it serves is the same run
  where o.parent_id is null or (o.trace_id, o.parent_id) not in (select (trace_id, span_id) from tools where span_id is not null)
),
ended as (
  select
    min(line) as line, reject, done_at as known_at, request_id, ticket_id, intent,
    count(*)::double as ran, count(*) filter (where failed)::double as failed,
    avg((epoch_us(done_at) - epoch_us(began_at)) / 1000)::double as mean_ms
  from outermost
  where reject is null
  group by all
),
given as (
  select line, reject, 'tool_ms' as name, known_at, null::double as numerator, null::double as denominator, mean_ms as value, request_id, ticket_id, intent
  from ended
  union all by name
  select line, reject, 'tool_error_rate' as name, known_at, failed as numerator, ran as denominator, null::double as value, request_id, ticket_id, intent
  from ended
  union all by name
  select line, reject, 'tool_ms' as name, done_at as known_at, request_id, ticket_id, intent
  from outermost
  where reject is not null
)
select * from given
union all by name
-- beside a format that reads the file's calls there is nothing to say of the other spans
select line, 'not for us: ' || case when count(span_id) = 0 then 'no spans' else 'no executed tool' end as reject, 'tool_ms' as name
from logged
where line not in (select line from given) and not exists (select 1 from told where v[5] is not null or name = 'litellm_request')
group by line
