-- one row per request: what policies match on and scorecards count, no id of a person, no text but labels
-- parameters: none
-- columns: request_id VARCHAR, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, arrived_at TIMESTAMP WITH TIME ZONE, wait_ms BIGINT, wait_is_lower_bound BOOLEAN, requested VARCHAR, served VARCHAR, is_fallback BOOLEAN, status VARCHAR, error_class VARCHAR, stream BOOLEAN, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, attempts_complete BOOLEAN, labels VARCHAR, load_id BIGINT
with facts as (
  select request_id, min(load_id) as load_id from request_facts group by request_id
)
select
  r.request_id, r.conversation_id, r.ticket_id, r.intent, r.channel, r.arrived_at, r.wait_ms, r.wait_is_lower_bound, r.requested,
  r.served, r.is_fallback, r.status, r.error_class, r.stream, r.tools_offered, r.tool_calls, r.tool_errors, r.prompt_tokens,
  r.completion_tokens, r.cost_usd, r.attempts_complete, r.labels::varchar as labels, coalesce(r.load_id, f.load_id) as load_id
from requests as r
left join facts as f on f.request_id = r.request_id
