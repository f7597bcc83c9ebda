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
    record,
    json_extract_string(record, [
      '$.id', '$.trace_id', '$.traceId', '$.type', '$.start_time', '$.startTime', '$.end_time', '$.endTime',
      '$.completion_start_time', '$.completionStartTime', '$.level', '$.status_message', '$.statusMessage',
      '$.provided_model_name', '$.providedModelName', '$.model', '$.usage_details', '$.usageDetails', '$.usage', '$.total_cost',
      '$.totalCost', '$.calculatedTotalCost', '$.cost_details', '$.costDetails', '$.latency', '$.time_to_first_token',
      '$.timeToFirstToken', '$.metadata', '$.tags', '$.tool_calls', '$.toolCalls', '$.tool_definitions', '$.toolDefinitions',
      '$.parent_observation_id', '$.parentObservationId', '$.updated_at', '$.updatedAt', '$.model_parameters', '$.modelParameters'
    ]) as v
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
    record
  from extracted
),
versions as (
  select
    *,
    coalesce(updated_at < max(updated_at) over (partition by id), false) as outdated,
    (epoch_us(done_at) - epoch_us(began_at)) / 1e6 as took_s
  from named
),
told as (
  select
    *,
    -- seconds, or milliseconds: what the row's own clock says
    case when latency > 0 and took_s >= 0.002 and not outdated then abs(latency - took_s) <= abs(latency / 1000 - took_s) end as in_seconds,
    type = 'GENERATION' and not outdated and id is not null and began_at is not null and done_at >= began_at as is_call
  from versions
),
following as (
  select
    *,
    coalesce(
      in_seconds,
      -- then what the rest of the file says; then the date before which integrations were set up in milliseconds
      case when count(in_seconds) over () > 0 then 2 * count(*) filter (where in_seconds) over () >= count(in_seconds) over () end,
      began_at >= timestamptz '2026-04-01 00:00:00+00'
    ) as seconds,
    lag(id) over sibling as before_id,
    lag(failed) over sibling as before_failed,
    lag(done_at) over sibling as before_done_at
  from told
  window sibling as (partition by trace_id, is_call, parent_id order by began_at, done_at, id)
),
chained as (
  select
    *,
    case
      when not is_call or trace_id is null then is_call
      -- the same row twice is no other request
      when before_id = id then false
      else not coalesce(before_failed and began_at < before_done_at + interval 60 seconds, false)
    end as starts
  from following
),
numbered as (
  select
    *,
    sum(starts::integer) over (partition by trace_id, is_call, parent_id order by began_at, done_at, id rows unbounded preceding) as chain
  from chained
),
firsts as (
  select
    *, first_value(id) over (partition by trace_id, is_call, parent_id, chain order by began_at, done_at, id) as first_id
  from numbered
),
lasts as (
  select
    *,
    -- of several requests in a trace the last one gave the answer that people saw, and that scores of the trace are about
    last_value(first_id) over (
      partition by trace_id, is_call order by began_at, done_at, id rows between unbounded preceding and unbounded following
    ) as last_id,
    min(first_id) over (partition by trace_id, is_call) <> max(first_id) over (partition by trace_id, is_call) as has_several,
    -- the generation before a tool's observation
    last_value(case when is_call then id end ignore nulls) over (
      partition by trace_id order by began_at, not is_call, done_at, id rows unbounded preceding
    ) as caller_id
  from firsts
),
tools_used as (
  select trace_id, caller_id, count(*) as used, count(*) filter (where failed) as failed, max(done_at) as known_at
  from (select distinct on (id) * from lasts where type = 'TOOL' and not outdated and caller_id is not null order by id)
  group by all
),
calling as (
  select
    l.*,
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
  from lasts as l
  left join tools_used as t on l.is_call and t.trace_id = l.trace_id and t.caller_id = l.id
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
    list_filter(
      json_extract_string(record, $conversation_id_paths) || json_extract_string(opened, $conversation_id_paths), lambda x: x <> ''
    )[1],
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $conversation_id_tag, 1)), lambda x: x <> '')[1],
    case when has_several then trace_id end
  ) as conversation_id,
  coalesce(
    list_filter(json_extract_string(record, $ticket_id_paths) || json_extract_string(opened, $ticket_id_paths), lambda x: x <> '')[1],
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $ticket_id_tag, 1)), lambda x: x <> '')[1]
  ) as ticket_id,
  coalesce(
    list_filter(json_extract_string(record, $intent_paths) || json_extract_string(opened, $intent_paths), lambda x: x <> '')[1],
    list_filter(list_transform(tags, lambda t: regexp_extract(t, $intent_tag, 1)), lambda x: x <> '')[1]
  ) as intent,
  coalesce(
    list_filter(json_extract_string(record, $channel_paths) || json_extract_string(opened, $channel_paths), lambda x: x <> '')[1],
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
