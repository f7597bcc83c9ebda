-- one row per request: what its answer did, as logged, and whether an agent overrode it
-- parameters: none
-- columns: row BIGINT, id_hash UBIGINT, is_fallback BOOLEAN, tool_calls INTEGER, tool_errors INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, overridden BOOLEAN, reviewed_us BIGINT, stream BOOLEAN
with overrides as (
  select request_id, bool_or(overridden) as overridden, epoch_us(min("at") filter (where overridden is not null)) as reviewed_us
  from feedback
  where request_id is not null
  group by request_id
)
select
  r.rowid as row, hash(r.request_id) as id_hash, r.is_fallback, r.tool_calls, r.tool_errors, r.prompt_tokens, r.completion_tokens,
  r.cost_usd, o.overridden, o.reviewed_us, r.stream
from requests as r
left join overrides as o on o.request_id = r.request_id
