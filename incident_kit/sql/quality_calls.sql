-- one row per call (of a request without attempts: per request), with what the scorecard's metrics read
-- parameters: none
-- columns: intent VARCHAR, target VARCHAR, role VARCHAR, at_us BIGINT, wait_ms BIGINT, failed BOOLEAN, tool_calls INTEGER, tool_errors INTEGER, overridden BOOLEAN, completion_tokens BIGINT, evidence VARCHAR
with overrides as (
  select request_id, bool_or(overridden) as overridden from feedback where request_id is not null group by request_id
),
calls as (
  select request_id, target, latency_ms, status, tool_calls, tool_errors, completion_tokens
  from attempts
  where kind = 'call'
  union all
  select request_id, coalesce(served, requested), wait_ms, status, tool_calls, tool_errors, completion_tokens
  from requests
  where request_id not in (select request_id from attempts)
)
select
  coalesce(r.intent, '(no intent)') as intent,
  c.target,
  -- where nobody knows what was asked for, an answer is the backup's only if its request says that it was
  case
    when c.target = r.requested then 'primary'
    when r.requested is null and not (coalesce(r.is_fallback, false) and c.target = r.served) then 'primary'
    else 'backup'
  end as role,
  epoch_us(r.arrived_at) as at_us,
  c.latency_ms as wait_ms,
  c.status <> 'ok' as failed,
  c.tool_calls, c.tool_errors,
  case when c.target = r.served and c.status = 'ok' then o.overridden end as overridden,
  c.completion_tokens,
  'observed' as evidence
from calls as c
join requests as r on r.request_id = c.request_id
left join overrides as o on o.request_id = c.request_id
where c.target is not null
order by all
