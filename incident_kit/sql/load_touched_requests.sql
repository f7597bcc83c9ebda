-- one row per request whose rolled-up rows may change with load $load_id: its own, and those whose tool calls its requests answer
-- parameters: $load_id BIGINT
-- columns: request_id VARCHAR
with loaded as (
  select request_id, calls_made, tool_results from request_facts where load_id = $load_id
),
answered as (
  select distinct result.id as id from (select unnest(tool_results) as result from loaded)
),
callers as (
  select request_id from (select request_id, unnest(calls_made) as call from request_facts) where call.id in (select id from answered)
)
select request_id from loaded
union
select request_id from callers
