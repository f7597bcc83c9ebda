-- one row per attempt of a known request
-- parameters: none
-- columns: request_id VARCHAR, seq INTEGER, kind VARCHAR, target VARCHAR, deployment_id VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, tool_result_at TIMESTAMP WITH TIME ZONE
select
  request_id, seq, kind, target, deployment as deployment_id, sent_at, first_token_at, done_at, latency_ms, status, error_class,
  prompt_tokens, completion_tokens, cost_usd, tools_offered, tool_calls, tool_errors, tool_result_at
from attempts
where request_id in (select request_id from requests)
