-- one row per logged call or cache hit (and per request without attempts): what its answer did, and whether an agent overrode it
-- parameters: none
-- columns: request_id VARCHAR, target VARCHAR, number BIGINT, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, overridden BOOLEAN
with overrides as (
  select request_id, bool_or(overridden) as overridden from feedback where request_id is not null group by request_id
),
calls as (
  select
    request_id, target, row_number() over (partition by request_id, target order by seq) - 1 as number,
    tools_offered, tool_calls, tool_errors, prompt_tokens, completion_tokens, cost_usd
  from attempts
  where kind in ('call', 'cache_hit')
  union all
  select
    request_id, coalesce(served, requested), 0, tools_offered, tool_calls, tool_errors, prompt_tokens,
    completion_tokens, cost_usd
  from requests
  where request_id not in (select request_id from attempts)
)
select calls.*, case when calls.target = r.served then overrides.overridden end as overridden
from calls
join requests as r on r.request_id = calls.request_id
left join overrides on overrides.request_id = calls.request_id
