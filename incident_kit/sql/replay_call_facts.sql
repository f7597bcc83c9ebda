-- one row per logged call or cache hit (and per request without attempts): what its answer did, and whether an agent overrode it
-- parameters: none
-- columns: row BIGINT, id_hash UBIGINT, target VARCHAR, number BIGINT, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, ttft_ms BIGINT, tools_known_us BIGINT, overridden BOOLEAN, reviewed_us BIGINT
with overrides as (
  select request_id, bool_or(overridden) as overridden, epoch_us(min("at") filter (where overridden is not null)) as reviewed_us
  from feedback
  where request_id is not null
  group by request_id
),
calls as (
  select
    request_id, target, row_number() over (partition by request_id, target order by seq) - 1 as number,
    tools_offered, tool_calls, tool_errors, prompt_tokens, completion_tokens, cost_usd,
    (epoch_us(first_token_at) - epoch_us(sent_at)) // 1000 as ttft_ms, epoch_us(tool_result_at) as tools_known_us
  from attempts
  where kind in ('call', 'cache_hit')
  union all
  select
    request_id, coalesce(served, requested), 0, tools_offered, tool_calls, tool_errors, prompt_tokens,
    completion_tokens, cost_usd, null, null
  from requests
  where request_id not in (select request_id from attempts)
)
select
  r.rowid as row, hash(r.request_id) as id_hash, calls.* exclude (request_id),
  case when calls.target = r.served then overrides.overridden end as overridden,
  case when calls.target = r.served then overrides.reviewed_us end as reviewed_us
from calls
join requests as r on r.request_id = calls.request_id
left join overrides on overrides.request_id = calls.request_id
