-- one row per logged call or cache hit (and per request without attempts): what its answer did, and whether an agent overrode it
-- parameters: $targets VARCHAR[]
-- columns: row BIGINT, id_hash UBIGINT, target SMALLINT, number BIGINT, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, ttft_ms BIGINT, tools_known_us BIGINT, overridden BOOLEAN, reviewed_us BIGINT
with overrides as (
  select request_id, bool_or(overridden) as overridden, epoch_us(min("at") filter (where overridden is not null)) as reviewed_us
  from feedback
  where request_id is not null
  group by request_id
),
calls as (
  select
    r.rowid as row, r.request_id, r.served, a.target, row_number() over (partition by r.rowid, a.target order by a.seq) - 1 as number,
    a.tools_offered, a.tool_calls, a.tool_errors, a.prompt_tokens, a.completion_tokens, a.cost_usd,
    (epoch_us(a.first_token_at) - epoch_us(a.sent_at)) // 1000 as ttft_ms, epoch_us(a.tool_result_at) as tools_known_us
  from attempts as a
  join requests as r on r.request_id = a.request_id
  where a.kind in ('call', 'cache_hit') and a.target is not null
  union all
  select
    rowid, request_id, served, coalesce(served, requested), 0, tools_offered, tool_calls, tool_errors, prompt_tokens,
    completion_tokens, cost_usd, null, null
  from requests
  where request_id not in (select request_id from attempts)
)
select
  calls.row, hash(calls.request_id) as id_hash, (coalesce(list_position($targets, calls.target), 0) - 1)::smallint as target, calls.number,
  calls.tools_offered, calls.tool_calls, calls.tool_errors, calls.prompt_tokens, calls.completion_tokens, calls.cost_usd,
  calls.ttft_ms, calls.tools_known_us, case when calls.target = calls.served then overrides.overridden end as overridden,
  case when calls.target = calls.served then overrides.reviewed_us end as reviewed_us
from calls
left join overrides on overrides.request_id = calls.request_id
