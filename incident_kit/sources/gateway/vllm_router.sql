-- one row per routing decision, which is one client request
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, kind VARCHAR, target VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, cache_hit BOOLEAN, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, stream BOOLEAN, labels JSON, calls_made STRUCT(id VARCHAR, ok BOOLEAN)[], tool_results STRUCT(id VARCHAR, ok BOOLEAN)[], request_began_at TIMESTAMP WITH TIME ZONE, request_done_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: vllm_router
-- title: vLLM semantic router's replay records (one JSON record a decision)
-- table: attempts
-- one_to_one: true
-- detect: [timestamp, request_id, selected_model, "lifecycle_state|decision|original_model"]
-- companions: [vllm_router_outcomes]
-- labels:
--   intent:
--     - $.decision
--     - $.category
--   ticket_id:
--     - $.ticket_id
--     - $.metadata.ticket_id
--   conversation_id:
--     - $.conversation_id
--     - $.session_id
--   channel:
--     - $.channel
-- answers:
--   waits: "yes: duration_ms of each request that ended; one in progress is censored, not slow"
--   errors: "lower bound: one record a request with how it ended; the router's own retries are not in it"
--   tools: "lower bound: the steps of tool_trace, where the router kept them all"
--   fidelity: "lower bound: the model that was chosen, and by which rule; not what would have been tried next"
-- hints:
--   intents: "name the router's decisions after what requests are for; the decision that matched is taken as the intent"
--   tickets: "the record has no place for a ticket: keep the request_id with the ticket, and load that as feedback or by conversation"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.request_id', '$.timestamp', '$.ended_at', '$.duration_ms', '$.lifecycle_state', '$.response_status', '$.terminal_reason',
      '$.selected_model', '$.original_model', '$.from_cache', '$.streaming', '$.prompt_tokens', '$.completion_tokens', '$.actual_cost',
      '$.currency', '$.tool_definitions', '$.tool_trace.steps', '$.tool_trace.steps_truncated', '$.tool_trace.dropped_step_count',
      '$.selection_method', '$.category', '$.turn_index', '$.tool_trace'
    ]) as v,
    json_extract_string(record, $intent_paths) as intents,
    json_extract_string(record, $ticket_id_paths) as tickets,
    json_extract_string(record, $conversation_id_paths) as conversations,
    json_extract_string(record, $channel_paths) as channels
  from raw
),
named as (
  select
    *,
    coalesce(nullif(v[2], ''), nullif(v[1], '')) as request_id,
    instant(v[3], null) as began_at,
    coalesce(nullif(v[6], ''), 'unknown') as state,
    whole(v[5]) as duration_ms,
    instant(nullif(v[4], ''), null) as ended_at,
    whole(v[7]) as code,
    -- left out where it is false
    coalesce(lower(v[11]) = 'true', false) as from_cache,
    from_json(try_cast(v[17] as json), '[{"name": "VARCHAR", "function": {"name": "VARCHAR"}}]') as tools,
    from_json(try_cast(v[18] as json), '[{"type": "VARCHAR", "tool_name": "VARCHAR", "tool_call_id": "VARCHAR", "arguments": "VARCHAR", "output": "VARCHAR"}]') as steps,
    coalesce(lower(v[19]) = 'true', false) or coalesce(whole(v[20]), 0) > 0 as cut_short
  from extracted
),
stepped as (
  select
    *,
    coalesce(ended_at, began_at + to_milliseconds(duration_ms)) as done_at,
    list_filter(steps, lambda s: contains(lower(s.type), 'result') or contains(lower(s.type), 'output')) as results
  from named
),
classified as (
  select
    *,
    -- a call that this record has the result of was made by an earlier answer
    list_filter(steps, lambda s: contains(lower(s.type), 'call') and not contains(lower(s.type), 'result')
      and not list_contains(list_transform(results, lambda r: coalesce(r.tool_call_id, '')), coalesce(s.tool_call_id, chr(0)))) as made,
    case
      when state = 'in_progress' then null
      when code in (408, 504) or regexp_matches(v[8], '(?i)time.?out|deadline') then 'timeout'
      when state = 'aborted' and code between 200 and 399 then 'cut'
      when state in ('failed', 'aborted') or code >= 400 then 'error'
      when state = 'completed' or code between 200 and 399 then 'ok'
    end as status
  from stepped
)
select
  line,
  case
    when request_id is null then 'no request_id and no id'
    when zoneless(v[3]) then 'timestamp: ''' || left(v[3], 40) || ''' has no time zone'
    when began_at is null then 'timestamp is not a time'
    when not in_our_time(began_at) or not coalesce(in_our_time(done_at), true) then 'timestamp or ended_at is not a time of our days'
    when done_at < began_at then 'ended_at is before timestamp'
    when state not in ('unknown', 'in_progress', 'completed', 'aborted', 'failed') then 'lifecycle_state: ''' || left(state, 40) || ''' is not known'
  end as reject,
  request_id,
  coalesce(nullif(v[1], ''), request_id) as attempt_id,
  case when from_cache then 'cache_hit' else 'call' end as kind,
  nullif(v[9], '') as target,
  case when not from_cache then nullif(v[9], '') end as model,
  began_at as sent_at,
  case when state <> 'in_progress' then done_at end as done_at,
  case when not from_cache and state <> 'in_progress' then coalesce(duration_ms, round((epoch_us(done_at) - epoch_us(began_at)) / 1000)::bigint) end as latency_ms,
  status,
  case
    when status is null or status = 'ok' then null
    when status in ('timeout', 'cut') then status
    when code between 400 and 599 then code::varchar
    else error_said(v[8], null, null)
  end as error_class,
  case when status = 'ok' then whole(v[13]) end as prompt_tokens,
  case when status = 'ok' then whole(v[14]) end as completion_tokens,
  case when status = 'ok' and upper(coalesce(v[16], '')) = 'USD' then amount(v[15]) end as cost_usd,
  len(tools)::integer as tools_offered,
  case when status = 'ok' and v[24] is not null and not cut_short then coalesce(len(made), 0) end::integer as tool_calls,
  from_cache as cache_hit,
  list_filter(conversations, lambda x: x <> '')[1] as conversation_id,
  list_filter(tickets, lambda x: x <> '')[1] as ticket_id,
  list_filter(intents, lambda x: x <> '')[1] as intent,
  list_filter(channels, lambda x: x <> '')[1] as channel,
  coalesce(lower(v[12]) = 'true', false) as stream,
  -- what was asked for is often no model but 'auto': the rule decides, so it is no target
  plain_labels(json_object('original_model', v[10], 'selection_method', v[21], 'category', v[22], 'turn_index', whole(v[23])), null, null, '{}') as labels,
  list_transform(made, lambda s: {
    'id': s.tool_call_id,
    'ok': coalesce(json_type(try_cast(coalesce(nullif(s.arguments, ''), '{}') as json)) = 'OBJECT', false)
      and (tools is null or coalesce(list_contains(list_transform(tools, lambda t: coalesce(t.name, t."function".name)), s.tool_name), false))
  }) as calls_made,
  list_transform(list_filter(results, lambda r: r.tool_call_id is not null), lambda r: {
    'id': r.tool_call_id,
    'ok': not coalesce(
      json_extract_string(try_cast(r.output as json), '$.error') not in ('', 'false')
      or json_extract_string(try_cast(r.output as json), '$.ok') = 'false'
      or json_extract_string(try_cast(r.output as json), '$.is_error') = 'true'
      or regexp_matches(r.output, '^\s*(?i:error)\b'),
      false
    )
  }) as tool_results,
  began_at as request_began_at,
  case when state <> 'in_progress' then done_at end as request_done_at
from classified
