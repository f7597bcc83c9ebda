-- one row per request: what its answer did, as logged, and whether an agent overrode it
-- parameters: none
-- columns: request_id VARCHAR, is_fallback BOOLEAN, tool_calls INTEGER, tool_errors INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, overridden BOOLEAN, stream BOOLEAN
with overrides as (
  select request_id, bool_or(overridden) as overridden from feedback where request_id is not null group by request_id
)
select r.request_id, r.is_fallback, r.tool_calls, r.tool_errors, r.prompt_tokens, r.completion_tokens, r.cost_usd, o.overridden,
  r.stream
from requests as r
left join overrides as o on o.request_id = r.request_id
