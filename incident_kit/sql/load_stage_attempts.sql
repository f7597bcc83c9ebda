-- one row per record of a gateway's file, before it is judged (empty: the shape that `staged` is made of)
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, attempt_id VARCHAR, request_id VARCHAR, seq INTEGER, kind VARCHAR, target VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, sent_at TIMESTAMP WITH TIME ZONE, first_token_at TIMESTAMP WITH TIME ZONE, done_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, status VARCHAR, error_class VARCHAR, prompt_tokens BIGINT, completion_tokens BIGINT, cost_usd DOUBLE, tools_offered INTEGER, tool_calls INTEGER, tool_errors INTEGER, tool_result_at TIMESTAMP WITH TIME ZONE, cache_hit BOOLEAN, worker VARCHAR, retry_after_ms BIGINT, spans_request BOOLEAN, rows_stated INTEGER, fallbacks INTEGER, conversation_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, channel VARCHAR, requested VARCHAR, is_fallback BOOLEAN, stream BOOLEAN, labels JSON, calls_made STRUCT(id VARCHAR, ok BOOLEAN)[], tool_results STRUCT(id VARCHAR, ok BOOLEAN)[], request_began_at TIMESTAMP WITH TIME ZONE, request_done_at TIMESTAMP WITH TIME ZONE, complete BOOLEAN
select
  null::bigint as line,
  null::varchar as reject,
  a.* exclude (load_id),
  f.* exclude (request_id, attempt_id, began_at, seq, source, load_id)
from attempts as a, request_facts as f
limit 0
