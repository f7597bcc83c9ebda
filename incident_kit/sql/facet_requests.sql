-- one row per request: what it can be told apart by, and what its calls did
-- parameters: none
-- columns: request_id VARCHAR, conversation_id VARCHAR, ticket_id VARCHAR, channel VARCHAR, requested VARCHAR, deployment VARCHAR, provider VARCHAR, model VARCHAR, worker VARCHAR, tools_offered INTEGER, calls BIGINT, refused BOOLEAN, resent BOOLEAN, labels VARCHAR
with on_targets as (
  select
    request_id, target,
    count(*) filter (where kind = 'call') as calls,
    -- the gateway's own refusals, and what a provider answers when it is full
    bool_or(kind = 'refusal' or coalesce(error_class in ('429', '503', '529'), false)) as refused
  from attempts
  group by request_id, target
),
tried as (
  select request_id, sum(calls)::bigint as calls, bool_or(refused) as refused, max(calls) > 1 as resent
  from on_targets
  group by request_id
),
last_calls as (
  select
    request_id, arg_max(deployment, seq) as deployment, arg_max(provider, seq) as provider, arg_max(model, seq) as model,
    arg_max(worker, seq) as worker
  from attempts
  where kind in ('call', 'cache_hit')
  group by request_id
)
select
  r.request_id, r.conversation_id, r.ticket_id, r.channel, r.requested, c.deployment, c.provider, c.model, c.worker,
  r.tools_offered, t.calls, t.refused, t.resent, r.labels::varchar as labels
from requests as r
left join tried as t on t.request_id = r.request_id
left join last_calls as c on c.request_id = r.request_id
