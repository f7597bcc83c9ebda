-- one row per client request that was answered
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, arrived_at TIMESTAMP WITH TIME ZONE, wait_ms BIGINT, wait_is_lower_bound BOOLEAN, served VARCHAR, status VARCHAR, stream BOOLEAN, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, attempts_complete BOOLEAN, labels JSON
-- ---
-- name: tensorzero_inference
-- title: TensorZero ChatInference and JsonInference (ClickHouse), chat_inferences and json_inferences (Postgres)
-- table: requests
-- one_to_one: true
-- zone: UTC
-- detect: [id, function_name, variant_name, episode_id, processing_time_ms, tags]
-- labels:
--   intent:
--     - $.tags.intent
--     - $.function_name
--   ticket_id:
--     - $.tags.ticket_id
--   conversation_id:
--     - $.tags.conversation_id
--     - $.episode_id
--   channel:
--     - $.tags.channel
-- answers:
--   waits: "yes: the gateway's own processing time, retries and fallbacks included; of answered requests only"
--   errors: "no: a failed inference leaves no row: an outage looks like missing requests; count them in the gateway's metrics"
--   tools: "lower bound: malformed calls are marked; what came back from a tool is not read"
--   fidelity: "no: the variant that was drawn first is not in the row, only the one that answered"
-- hints:
--   intents: "send tags.intent with every inference; without it the function's name stands in"
--   tickets: "send tags.ticket_id with every inference"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.function_name', '$.variant_name', '$.episode_id', '$.processing_time_ms', '$.timestamp', '$.ttft_ms', '$.tags',
      '$.output', '$.allowed_tools', '$.dynamic_tools', '$.created_at'
    ] || $intent_paths || $ticket_id_paths || $conversation_id_paths || $channel_paths) as v  -- one call: each parses the record
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    v[2] as function_name,
    nullif(v[3], '') as variant,
    -- the table's own timestamp is cut to seconds
    coalesce(
      uuid7_instant(v[1]),
      instant(coalesce(nullif(v[6], ''), v[12]), 'UTC')
    ) as arrived_at,
    whole(v[5]) as wait_ms,
    v[5] as wait_text,
    whole(v[7]) as ttft_ms,
    -- ClickHouse writes a map in CSV with single quotes
    coalesce(try_cast(v[8] as json), try_cast(replace(v[8], '''', '"') as json)) as tags,
    json_object('tags', tags) as opened,
    case when json_type(try_cast(v[9] as json)) = 'ARRAY' then
      list_filter(
        try(from_json(try_cast(v[9] as json), '[{"type": "VARCHAR", "name": "VARCHAR", "raw_name": "VARCHAR", "arguments": "JSON"}]')),
        lambda block: block.type = 'tool_call'
      )
    end as calls,
    json_array_length(try_cast(v[10] as json)) as allowed,
    json_array_length(try_cast(v[11] as json)) as dynamic,
    list_filter(json_extract_string(opened, $intent_paths) || v[13:12 + len($intent_paths)], lambda x: x <> '')[1] as intent,
    list_filter(json_extract_string(opened, $ticket_id_paths) || v[13 + len($intent_paths):12 + len($intent_paths || $ticket_id_paths)], lambda x: x <> '')[1] as ticket_id,
    list_filter(json_extract_string(opened, $conversation_id_paths) || v[13 + len($intent_paths || $ticket_id_paths):12 + len($intent_paths || $ticket_id_paths || $conversation_id_paths)], lambda x: x <> '')[1] as conversation_id,
    list_filter(json_extract_string(opened, $channel_paths) || v[13 + len($intent_paths || $ticket_id_paths || $conversation_id_paths):], lambda x: x <> '')[1] as channel
  from extracted
)
select
  line,
  case
    when id is null then 'no id'
    when arrived_at is null then 'id holds no time (it is no UUIDv7), and timestamp is not a time'
    when not in_our_time(arrived_at) then 'the time in id is not in our time'
    when wait_text <> '' and (wait_ms is null or wait_ms < 0) then 'processing_time_ms is not a number of milliseconds'
    when wait_ms > 86400000 then 'it took longer than a day'
  end as reject,
  id as request_id,
  conversation_id,
  ticket_id,
  intent,
  channel,
  arrived_at,
  wait_ms,
  false as wait_is_lower_bound,
  variant as served,
  'ok' as status,
  ttft_ms is not null as stream,
  (coalesce(allowed, 0) + coalesce(dynamic, 0))::integer as tools_offered,
  len(calls)::integer as tool_calls,
  -- a name or arguments that the gateway could not read are null beside the raw ones; what tools answered is not known
  case
    when len(calls) = 0 then 0
    else nullif(len(list_filter(calls, lambda c: c.name is null or c.arguments is null or c.arguments::varchar = 'null')), 0)
  end::integer as tool_errors,
  false as attempts_complete,
  plain_labels(
    -- tags of the gateway's own start with its name
    to_json(map_from_entries(list_filter(map_entries(try_cast(tags as map(varchar, json))), lambda e: not starts_with(e.key, 'tensorzero::')))),
    json_object('function_name', function_name), null,
    '{"intent": null, "ticket_id": null, "conversation_id": null, "channel": null}'
  ) as labels
from named
