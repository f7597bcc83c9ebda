-- one row per request, strings replaced by their codes in the temporary table `vocabulary`; NULL is -1
-- parameters: none
-- columns: row BIGINT, request_id VARCHAR, arrived_us BIGINT, intent SMALLINT, first_target SMALLINT, served SMALLINT, wait_ms INTEGER, error SMALLINT, tools_offered INTEGER, is_complete BOOLEAN, has_attempts BOOLEAN
with firsts as (
  select request_id, arg_min(target, seq) filter (where kind in ('call', 'cache_hit')) as target
  from attempts
  group by request_id
),
intents as (
  select word, code from vocabulary where kind = 'intent'
),
targets as (
  select word, code from vocabulary where kind = 'target'
),
errors as (
  select word, code from vocabulary where kind = 'error'
)
-- a join costs a fifth of the whole query, but next to nothing where its key is NULL
select
  r.rowid as row, r.request_id, epoch_us(r.arrived_at) as arrived_us,
  coalesce(i.code, -1)::smallint as intent,
  case when firsts.target is null then coalesce(s.code, q.code, -1) else coalesce(f.code, -1) end::smallint as first_target,
  coalesce(s.code, -1)::smallint as served,
  coalesce(r.wait_ms, -1)::integer as wait_ms,
  case when r.status = 'ok' then 0 else coalesce(e.code, -1) end::smallint as error,
  coalesce(r.tools_offered, -1) as tools_offered,
  coalesce(r.attempts_complete, true) as is_complete,
  firsts.request_id is not null as has_attempts
from requests as r
left join firsts on firsts.request_id = r.request_id
left join intents as i on i.word = r.intent
left join targets as s on s.word = r.served
left join targets as q on q.word = case when r.served is null then r.requested end
left join targets as f on f.word = firsts.target
left join errors as e on e.word = case when r.status <> 'ok' then coalesce(r.error_class, 'unknown') end
