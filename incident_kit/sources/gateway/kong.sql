-- one row per target that the gateway tried for a request, the answer's last
-- parameters: $intent_paths VARCHAR[], $ticket_id_paths VARCHAR[], $conversation_id_paths VARCHAR[], $channel_paths VARCHAR[]
-- columns: line BIGINT, reject VARCHAR, request_id VARCHAR, attempt_id VARCHAR, seq INTEGER, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, cache_hit BOOLEAN, rows_stated INTEGER, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, stream BOOLEAN, request_began_at TIMESTAMP WITH TIME ZONE, request_done_at TIMESTAMP WITH TIME ZONE
-- ---
-- name: kong
-- title: Kong AI Gateway logs (http-log, file-log and others; every shape of the ai block)
-- table: attempts
-- detect: [started_at, latencies, request, response]
-- complete: true
-- skips: "requests that no AI plugin saw"
-- labels:
--   intent:
--     - $.request.headers."x-intent"
--     - $.request.headers.intent
--   ticket_id:
--     - $.request.headers."x-ticket-id"
--     - $.request.headers."x-ticket"
--   conversation_id:
--     - $.request.headers."x-session-id"
--     - $.request.headers."x-conversation-id"
--   channel:
--     - $.request.headers."x-channel"
-- answers:
--   waits: "yes: latencies.request times the whole request, all tried targets included"
--   errors: "yes: every tried target is in the entry (AI Proxy Advanced); of the ones before the last, that they failed, and why only where the balancer's tries are as many"
--   tools: "no: the entry holds no tool calls; load the application's execute_tool spans"
--   fidelity: "yes: the tried targets, in order"
-- hints:
--   intents: "send the header x-intent with every request (or another, and say labels=)"
--   tickets: "send the header x-ticket-id with every request (or another, and say labels=)"
-- ---
with extracted as (
  select
    line, record,
    json_extract_string(record, [
      '$.started_at', '$.latencies.request', '$.request.id', '$.response.status', '$.upstream_status', '$.tries', '$.ai', '$.latencies.proxy'
    ]) as v,
    -- some log plugins write the headers as a text
    case when json_type(record, '$.request.headers') = 'VARCHAR'
      then json_object('request', json_object('headers', try_cast(json_extract_string(record, '$.request.headers') as json)))
      else record
    end as labelled
  from raw
),
blocks as (
  select
    * exclude (ai),
    case when json_type(ai) = 'OBJECT' then ai end as ai,
    -- newer ones say ai.proxy, older ones the plugin's name, some nothing at all; other plugins may have blocks of their own
    coalesce(
      json_extract(ai, '$.proxy'), json_extract(ai, '$."ai-proxy-advanced"'), json_extract(ai, '$."ai-proxy"'),
      case when json_exists(ai, '$.meta') or json_exists(ai, '$.usage') or json_exists(ai, '$.tried_targets') then ai end
    ) as block
  from (select *, try_cast(v[7] as json) as ai from extracted)
),
named as (
  select
    line, ai,
    block is not null as proxied,
    json_extract_string(labelled, $intent_paths) as intents,
    json_extract_string(labelled, $ticket_id_paths) as tickets,
    json_extract_string(labelled, $conversation_id_paths) as conversations,
    json_extract_string(labelled, $channel_paths) as channels,
    instant(v[1], null) as began_at,
    whole(v[2]) as wait_ms,
    whole(v[8]) as proxy_ms,
    nullif(v[3], '') as request_id,
    whole(v[4]) as code,
    whole(v[5]) as upstream_code,
    from_json(try_cast(v[6] as json), '[{"code": "VARCHAR", "state": "VARCHAR", "balancer_start": "VARCHAR"}]') as tries,
    json_extract_string(block, [
      '$.meta.request_model', '$.meta.response_model', '$.meta.provider_name', '$.meta.request_mode', '$.meta.llm_latency',
      '$.meta.azure_deployment_id', '$.usage.prompt_tokens', '$.usage.prompt_token', '$.usage.completion_tokens',
      '$.usage.completion_token', '$.usage.cost', '$.usage.time_to_first_token', '$.cache.cache_status'
    ]) as b,
    coalesce(
      nullif(from_json(coalesce(json_extract(block, '$.tried_targets'), json_extract(ai, '$.tried_targets')), '[{"provider": "VARCHAR", "model": "VARCHAR", "host": "VARCHAR", "port": "VARCHAR"}]'), []),
      [{'provider': null, 'model': null, 'host': null, 'port': null}]
    ) as targets
  from blocks
),
judged as (
  select
    *,
    lower(coalesce(b[13], '')) = 'hit' as from_cache,
    not proxied and regexp_matches(ai::varchar, '"ai-[a-z-]*guard[a-z-]*"') and code between 400 and 499 as guarded,
    case
      when not (proxied or regexp_matches(coalesce(ai::varchar, ''), '"ai-[a-z-]*guard[a-z-]*"') and code between 400 and 499) then 'not for us: no AI plugin saw this request'
      when request_id is null then 'no request.id'
      when began_at is null then 'started_at is not a time in epoch milliseconds'
      when not in_our_time(began_at) then 'started_at is not a time of our days'
      when wait_ms is null then 'latencies.request is not a number of milliseconds'
      when code is null then 'response.status is not a number'
    end as reject
  from named
),
tried as (
  select *, unnest(range(1, case when reject is null then len(targets) else 1 end + 1))::integer as seq from judged
),
placed as (
  select
    *,
    targets[seq] as target_tried, seq = len(targets) as is_last,
    case when len(tries) = len(targets) then tries[seq] end as try,
    case when len(tries) = len(targets) then instant(tries[seq].balancer_start, null) end as tried_at,
    case when len(tries) = len(targets) then instant(tries[seq + 1].balancer_start, null) end as next_at,
    began_at + to_milliseconds(wait_ms) as ended_at,
    whole(b[5]) as llm_ms, whole(b[12]) as ttft_ms, lower(coalesce(b[4], '')) = 'stream' as streamed
  from tried
),
ended as (
  select
    *,
    case when from_cache then 'cache_hit' when guarded then 'guardrail' when is_last and code = 429 and upstream_code is null then 'refusal' else 'call' end as kind,
    case
      when is_last then code
      when regexp_full_match(try.code, '[1-5][0-9][0-9]') then try_cast(try.code as bigint)
    end as said
  from placed
)
select
  line, reject, request_id,
  request_id || '#' || seq as attempt_id,
  case when reject is null then seq end as seq,
  kind,
  coalesce(target_tried.model, case when is_last then b[1] end) as target,
  case when kind = 'call' then coalesce(case when is_last then nullif(b[6], '') end, nullif(target_tried.host, '') || coalesce(':' || nullif(target_tried.port, ''), '')) end as deployment,
  case when kind = 'call' then coalesce(target_tried.provider, case when is_last then b[3] end) end as provider,
  case when kind = 'call' then coalesce(case when is_last then nullif(b[2], '') end, target_tried.model, b[1]) end as model,
  case
    when tried_at between began_at and ended_at then tried_at
    when is_last and seq > 1 and llm_ms <= wait_ms then ended_at - to_milliseconds(llm_ms)
    else began_at
  end as sent_at,
  -- it is there for answers in one piece too
  case when is_last and streamed and kind = 'call' and ttft_ms <= wait_ms then
    case when seq > 1 and llm_ms <= wait_ms then ended_at - to_milliseconds(llm_ms) else began_at end + to_milliseconds(ttft_ms)
  end as first_token_at,
  case when is_last then ended_at when next_at between began_at and ended_at then next_at end as done_at,
  case
    when kind <> 'call' then null
    when is_last and (llm_ms is not null or seq = 1) then coalesce(llm_ms, proxy_ms)
    when is_last and tried_at between began_at and ended_at then round((epoch_us(ended_at) - epoch_us(tried_at)) / 1000)::bigint
    when tried_at between began_at and ended_at and next_at between tried_at and ended_at then round((epoch_us(next_at) - epoch_us(tried_at)) / 1000)::bigint
  end as latency_ms,
  case when is_last and code between 200 and 399 then 'ok' when said in (408, 504) then 'timeout' else 'error' end as status,
  case
    when is_last and code between 200 and 399 then null
    when said in (408, 504) then 'timeout'
    when said between 400 and 599 then said::varchar
    when not is_last and try.state = 'failed' and said is null then 'connection'
    else 'unknown'
  end as error_class,
  case when is_last and code between 200 and 399 then whole(coalesce(b[7], b[8])) end as prompt_tokens,
  case when is_last and code between 200 and 399 then whole(coalesce(b[9], b[10])) end as completion_tokens,
  -- 0 is what an answer costs whose model has no price there
  case when kind = 'cache_hit' then 0.0 when is_last and code between 200 and 399 then nullif(amount(b[11]), 0) end as cost_usd,
  from_cache as cache_hit,
  len(targets)::integer as rows_stated,
  list_filter(conversations, lambda x: x <> '')[1] as conversation_id,
  list_filter(tickets, lambda x: x <> '')[1] as ticket_id,
  list_filter(intents, lambda x: x <> '')[1] as intent,
  list_filter(channels, lambda x: x <> '')[1] as channel,
  case when b[4] is not null then streamed end as stream,
  began_at as request_began_at,
  ended_at as request_done_at
from ended
