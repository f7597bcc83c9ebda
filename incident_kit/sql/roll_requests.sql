-- one row per request in `touched`, from its attempts and the facts beside them
-- parameters: none
-- columns: request_id VARCHAR, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, arrived_at TIMESTAMP WITH TIME ZONE, wait_ms BIGINT, wait_is_lower_bound BOOLEAN, requested VARCHAR, served VARCHAR, is_fallback BOOLEAN, status VARCHAR, error_class VARCHAR, stream BOOLEAN, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, attempts_logged INTEGER, attempts_complete BOOLEAN, labels JSON, load_id BIGINT
with members as (
  select
    a.*, f.began_at, f.rows_stated, f.fallbacks, f.conversation_id, f.ticket_id, f.intent, f.channel, f.requested, f.is_fallback,
    f.stream, f.labels, f.source, f.request_began_at, f.request_done_at, f.complete
  from attempts as a
  join request_facts as f on f.request_id = a.request_id and f.attempt_id = a.attempt_id
  where a.request_id in (select request_id from touched)
),
rolled as (
  select
    request_id,
    arg_min(conversation_id, seq) as conversation_id,
    arg_min(ticket_id, seq) as ticket_id,
    arg_min(intent, seq) as intent,
    arg_min(channel, seq) as channel,
    coalesce(min(request_began_at), min(began_at)) as arrived_at,
    coalesce(max(request_done_at), max(done_at)) as left_at,
    min(request_began_at) is not null and max(request_done_at) is not null as whole,
    -- '' stands for: this record knows that it cannot be known
    nullif(coalesce(arg_min(requested, seq), arg_min_null(target, seq)), '') as requested,
    arg_max(target, seq) filter (where status = 'ok') as served,
    bool_or(is_fallback) as stated_fallback,
    bool_or(status = 'ok') as answered,
    arg_max(status, seq) as last_status,
    arg_max_null(error_class, seq) as last_error,
    bool_or(stream) as stream,
    max(tools_offered) as tools_offered,
    arg_max_null(tool_calls, seq) filter (where status = 'ok') as tool_calls,
    arg_max_null(tool_errors, seq) filter (where status = 'ok') as tool_errors,
    sum(prompt_tokens)::bigint as prompt_tokens,
    sum(completion_tokens)::bigint as completion_tokens,
    sum(cost_usd) as cost_usd,
    count(*)::integer as attempts_logged,
    -- measured on a capture with its truth beside it: the stated number is right unless calls failed before a change of target
    max(rows_stated) = count(*)
      and (coalesce(max(fallbacks), 0) = 0 or not bool_or(kind = 'call' and status <> 'ok')) as count_agrees,
    bool_and(complete) as complete,
    bool_or(source = 'canonical') as own_format,
    arg_min(labels, seq) as labels
  from members
  group by request_id
)
select
  request_id, conversation_id, ticket_id, intent, channel, arrived_at,
  round((epoch_us(left_at) - epoch_us(arrived_at)) / 1000)::bigint as wait_ms, not whole as wait_is_lower_bound, requested, served,
  coalesce(stated_fallback, served <> requested) as is_fallback,
  case when answered then 'ok' else last_status end as status,
  case when not answered then last_error end as error_class,
  stream, tools_offered, tool_calls, tool_errors, prompt_tokens, completion_tokens, cost_usd, attempts_logged,
  case when not own_format then coalesce(complete, count_agrees, false) end as attempts_complete,
  labels,
  null::bigint as load_id
from rolled
