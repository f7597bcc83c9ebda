-- one row per request, strings replaced by their codes in the temporary table `vocabulary`
-- parameters: none
-- columns: row BIGINT, request_id VARCHAR, arrived_us BIGINT, intent SMALLINT, first_target SMALLINT, served SMALLINT, wait_ms BIGINT, error SMALLINT, tools_offered INTEGER, is_complete BOOLEAN, has_attempts BOOLEAN
with firsts as (
  select request_id, arg_min(target, seq) filter (where kind in ('call', 'cache_hit')) as target
  from attempts
  group by request_id
)
select
  r.rowid as row, r.request_id, epoch_us(r.arrived_at) as arrived_us,
  i.code as intent, f.code as first_target, s.code as served, r.wait_ms,
  case when r.status = 'ok' then 0::smallint else e.code end as error,
  r.tools_offered, coalesce(r.attempts_complete, true) as is_complete,
  firsts.request_id is not null as has_attempts
from requests as r
left join firsts on firsts.request_id = r.request_id
left join vocabulary as i on i.kind = 'intent' and i.word = r.intent
left join vocabulary as s on s.kind = 'target' and s.word = r.served
left join vocabulary as f on f.kind = 'target' and f.word = coalesce(firsts.target, r.served, r.requested)
left join vocabulary as e on e.kind = 'error' and r.status <> 'ok' and e.word = coalesce(r.error_class, 'unknown')
