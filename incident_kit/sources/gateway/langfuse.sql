-- one row per observation; those that are no call of a model say so
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[], $intent_tag VARCHAR, $ticket_id_tag VARCHAR, $conversation_id_tag VARCHAR, $channel_tag VARCHAR
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, tool_result_at TIMESTAMP WITH TIME ZONE, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, stream BOOLEAN, labels JSON
-- ---
-- name: langfuse
-- title: Langfuse observations (blob storage export, API or UI export)
-- table: attempts
-- zone: UTC
-- skips: observations that are no generation (spans, events, tools, ...), and older versions of one
-- detect: [id, trace_id|traceId, type, start_time|startTime, end_time|endTime, level]
-- labels:
--   intent:
--     - $.metadata.intent
--     - $.metadata.requester_metadata.intent
--   ticket_id:
--     - $.metadata.ticket_id
--     - $.metadata.requester_metadata.ticket_id
--   conversation_id:
--     - $.session_id
--     - $.sessionId
--   channel:
--     - $.metadata.channel
-- tags:
--   intent: ^intent:(.+)$
--   ticket_id: ^ticket(?:_id)?:(.+)$
--   channel: ^channel:(.+)$
-- answers:
--   waits: "lower bound: the trace is the application's own: time before its first and between its generations is not in them"
--   errors: "lower bound: retries inside the client's library leave one generation"
--   tools: "lower bound: a tool observation belongs to the generation before it in its trace, by time; it carries no id of the call"
--   fidelity: "lower bound: a generation after a failed one under the same parent counts as its retry or fallback"
-- hints:
--   intents: "put an intent into the trace's metadata, or a tag intent:NAME"
--   tickets: "put a ticket_id into the trace's metadata, or a tag ticket:ID"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.trace_id', '$.traceId', '$.type', '$.start_time', '$.startTime', '$.end_time', '$.endTime',
      '$.completion_start_time', '$.completionStartTime', '$.level', '$.status_message', '$.statusMessage',
      '$.provided_model_name', '$.providedModelName', '$.model', '$.usage_details', '$.usageDetails', '$.usage', '$.total_cost',
      '$.totalCost', '$.calculatedTotalCost', '$.cost_details', '$.costDetails', '$.latency', '$.time_to_first_token',
      '$.timeToFirstToken', '$.metadata', '$.tags', '$.tool_calls', '$.toolCalls', '$.tool_definitions', '$.toolDefinitions',
      '$.parent_observation_id', '$.parentObservationId', '$.updated_at', '$.updatedAt', '$.model_parameters', '$.modelParameters'
    ] || $intent_paths || $ticket_id_paths || $conversation_id_paths || $channel_paths) as v  -- one call: each parses the record
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    coalesce(nullif(v[2], ''), nullif(v[3], '')) as trace_id,
    upper(v[4]) as type,
    -- the blob export writes UTC without saying so
    instant(coalesce(nullif(v[5], ''), v[6]), 'UTC') as began_at,
    instant(coalesce(nullif(v[7], ''), v[8]), 'UTC') as done_at,
    coalesce(nullif(v[7], ''), nullif(v[8], '')) as done_text,
    instant(coalesce(nullif(v[9], ''), v[10]), 'UTC') as token_at,
    upper(v[11]) = 'ERROR' as failed,
    coalesce(nullif(v[12], ''), v[13], '') as message,
    coalesce(nullif(v[14], ''), nullif(v[15], ''), nullif(v[16], '')) as model,
    json_extract_string(
      try_cast(coalesce(nullif(v[17], ''), nullif(v[18], ''), v[19]) as json), ['$.input', '$.output', '$.promptTokens', '$.completionTokens']
    ) as usage,
    amount(coalesce(
      nullif(v[20], ''), nullif(v[21], ''), nullif(v[22], ''),
      json_extract_string(try_cast(coalesce(nullif(v[23], ''), v[24]) as json), '$.total')
    )) as cost_usd,
    amount(v[25]) as latency,
    amount(coalesce(nullif(v[26], ''), v[27])) as ttft,
    try_cast(v[28] as json) as metadata,
    json_object('metadata', try_cast(v[28] as json)) as opened,
    try_cast(try_cast(v[29] as json) as varchar[]) as tags,
    try_cast(try_cast(coalesce(nullif(v[30], ''), v[31]) as json) as varchar[]) as calls,
    try_cast(coalesce(nullif(v[32], ''), v[33]) as json) as tools,
    coalesce(nullif(v[34], ''), nullif(v[35], '')) as parent_id,
    instant(coalesce(nullif(v[36], ''), v[37]), 'UTC') as updated_at,
    json_extract_string(try_cast(coalesce(nullif(v[38], ''), v[39]) as json), '$.stream') = 'true' as asked_stream,
    list_filter(v[40:39 + len($intent_paths)] || json_extract_string(opened, $intent_paths), lambda x: x <> '')[1] as intent,
    list_filter(v[40 + len($intent_paths):39 + len($intent_paths || $ticket_id_paths)] || json_extract_string(opened, $ticket_id_paths), lambda x: x <> '')[1] as ticket_id,
    list_filter(v[40 + len($intent_paths || $ticket_id_paths):39 + len($intent_paths || $ticket_id_paths || $conversation_id_paths)] || json_extract_string(opened, $conversation_id_paths), lambda x: x <> '')[1] as conversation_id,
    list_filter(v[40 + len($intent_paths || $ticket_id_paths || $conversation_id_paths):] || json_extract_string(opened, $channel_paths), lambda x: x <> '')[1] as channel
  from extracted
),
newest as (
  select id, max(updated_at) as updated_at from named group by id having count(*) > 1
),
told as (
  select
    n.*,
    coalesce(n.updated_at < newest.updated_at, false) as outdated,
    (epoch_us(n.done_at) - epoch_us(n.began_at)) / 1e6 as took_s,
    n.type = 'GENERATION' and n.id is not null and n.began_at is not null and n.done_at >= n.began_at and not outdated as is_call,
    -- seconds, or milliseconds: what the row's own clock says
    case when latency > 0 and took_s >= 0.002 and not outdated then abs(latency - took_s) <= abs(latency / 1000 - took_s) end as in_seconds
  from named as n
  left join newest on newest.id = n.id
),
said as (
  select count(in_seconds) as rows_that_say, count(*) filter (where in_seconds) as rows_in_seconds from told
),
-- from here on only what puts generations in order: the windows are wide enough
calls_of as (
  select line, id, coalesce(trace_id, id) as trace_id, parent_id, began_at, done_at, coalesce(failed, false) as failed
  from told
  where is_call
),
following as (
  select
    *,
    coalesce(lag(id) over sibling = id, false) as is_copy,
    lag(failed) over sibling and began_at < lag(done_at) over sibling + interval 60 seconds as comes_after_failure
  from calls_of
  window sibling as (partition by trace_id, parent_id order by began_at, done_at, id, line)
),
chained as (
  select
    * exclude (is_copy, comes_after_failure),
    -- a generation starts a request, unless it is the same row twice, or follows a failed one of the same parent
    last_value(case when not is_copy and not coalesce(comes_after_failure, false) then id end ignore nulls) over (
      partition by trace_id, parent_id order by began_at, done_at, id, line rows unbounded preceding
    ) as first_id
  from following
),
traces as (
  select
    trace_id,
    -- of several requests in a trace the last one gave the answer that people saw, and that scores of the trace are about
    max({'began_at': began_at, 'done_at': done_at, 'id': id, 'first_id': first_id}).first_id as last_id,
    min(first_id) <> max(first_id) as has_several
  from chained
  group by trace_id
),
moments as (
  select trace_id, began_at, max({'done_at': done_at, 'id': id}).id as id from calls_of group by all
),
tools_used as (
  -- a tool's observation belongs to the generation before it
  select c.trace_id, c.id, count(*) as used, count(*) filter (where t.failed) as failed, max(t.done_at) as known_at
  from (select distinct on (id) * from told where type = 'TOOL' and not outdated and trace_id is not null order by id) as t
  asof join moments as c on c.trace_id = t.trace_id and c.began_at <= t.began_at
  group by all
),
calling as (
  select
    l.*, chained.first_id, traces.last_id, traces.has_several,
    coalesce(
      l.in_seconds,
      -- then what the rest of the file says; then the date before which integrations were set up in milliseconds
      case when said.rows_that_say > 0 then 2 * said.rows_in_seconds >= said.rows_that_say end,
      l.began_at >= timestamptz '2026-04-01 00:00:00+00'
    ) as seconds,
    len(calls)::integer as tool_calls,
    len(list_filter(calls, lambda c: coalesce(
      try_cast(coalesce(
        nullif(json_extract_string(try_cast(c as json), '$.arguments'), ''),
        nullif(json_extract_string(try_cast(c as json), '$.function.arguments'), ''), '{}'
      ) as json) is null
      or (
        len(json_keys(tools)) > 0
        and not list_contains(json_keys(tools), coalesce(
          json_extract_string(try_cast(c as json), '$.name'), json_extract_string(try_cast(c as json), '$.function.name')
        ))
      ),
      false
    ))) as malformed,
    t.used, t.failed as tools_failed, t.known_at
  from told as l
  cross join said
  left join chained on chained.line = l.line
  left join traces on traces.trace_id = chained.trace_id
  left join tools_used as t on l.is_call and t.trace_id = l.trace_id and t.id = l.id
)
select
  line,
  case
    when id is null then 'no id'
    when type is distinct from 'GENERATION' then 'not for us: ' || coalesce(left(type, 40), 'an observation without a type') || ' is no call of a model'
    when outdated then 'not for us: an older version of an observation that is here in a newer one'
    when began_at is null then 'start_time is not a time'
    when not in_our_time(began_at) then 'start_time is not in our time'
    when done_text is null then 'no end_time: still running when it was exported'
    when done_at is null then 'end_time is not a time'
    when done_at < began_at then 'end_time is before start_time'
    when done_at > began_at + interval 1 day then 'it took longer than a day'
  end as reject,
  case when trace_id is null then first_id when first_id = last_id then trace_id else trace_id || '/' || first_id end as request_id,
  id as attempt_id,
  'call' as kind,
  coalesce(json_extract_string(metadata, '$.model_group'), model) as target,
  json_extract_string(metadata, '$.model_id') as deployment,
  json_extract_string(metadata, '$.custom_llm_provider') as provider,
  model,
  began_at as sent_at,
  case when first_token between began_at and done_at and first_token <> done_at then first_token end as first_token_at,
  done_at,
  round(took_s * 1000)::bigint as latency_ms,
  case when not coalesce(failed, false) then 'ok' when class = 'timeout' then 'timeout' else 'error' end as status,
  case when failed then class end as error_class,
  case when not coalesce(failed, false) then whole(coalesce(usage[1], usage[3])) end as prompt_tokens,
  case when not coalesce(failed, false) then whole(coalesce(usage[2], usage[4])) end as completion_tokens,
  case when not coalesce(failed, false) then cost_usd end as cost_usd,
  len(json_keys(tools))::integer as tools_offered,
  case when not coalesce(failed, false) then tool_calls end as tool_calls,
  case
    when failed then null
    when tool_calls = 0 then 0
    when used > 0 or malformed > 0 then least(tool_calls, malformed + coalesce(tools_failed, 0))
  end::integer as tool_errors,
  case when tool_calls > 0 then known_at end as tool_result_at,
  coalesce(
    conversation_id,
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $conversation_id_tag, 1)), lambda x: x <> '')[1],
    case when has_several then trace_id end
  ) as conversation_id,
  coalesce(
    ticket_id,
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $ticket_id_tag, 1)), lambda x: x <> '')[1]
  ) as ticket_id,
  coalesce(
    intent,
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $intent_tag, 1)), lambda x: x <> '')[1]
  ) as intent,
  coalesce(
    channel,
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $channel_tag, 1)), lambda x: x <> '')[1]
  ) as channel,
  coalesce(asked_stream, case when first_token > began_at and first_token < done_at then true end) as stream,
  plain_labels(
    metadata, null, null,
    '{"intent": null, "ticket_id": null, "channel": null, "model_group": null, "model_id": null, "custom_llm_provider": null}'
  ) as labels
from (
  select
    *,
    coalesce(token_at, try(began_at + to_microseconds(round(case when ttft > 0 then ttft * case when seconds then 1e6 else 1e3 end end)::bigint))) as first_token,
    case
      when regexp_matches(message, '(?i)time[d]?[ -]?out|\b408\b') then 'timeout'
      when regexp_matches(message, '(?i)context.?(window|length)') then 'context_window'
      when regexp_matches(message, '(?i)content.?(filter|policy)') then 'content_policy'
      when regexp_extract(message, '\b([45][0-9]{2})\b', 1) <> '' then regexp_extract(message, '\b([45][0-9]{2})\b', 1)
      when regexp_matches(message, '(?i)rate.?limit') then '429'
      when regexp_matches(message, '(?i)connect') then 'connection'
      else 'unknown'
    end as class
  from calling
)
