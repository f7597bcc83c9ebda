-- one row per request, strings replaced by their positions in the lists of words, from 0; NULL is -1
-- parameters: $intents VARCHAR[], $targets VARCHAR[], $errors VARCHAR[]
-- columns: row BIGINT, id_hash UBIGINT, request_id VARCHAR, arrived_us BIGINT, intent SMALLINT, first_target SMALLINT, served SMALLINT, wait_ms INTEGER, error SMALLINT, tools_offered INTEGER, without_tools BOOLEAN, is_complete BOOLEAN, has_attempts BOOLEAN
with firsts as (
  select
    request_id,
    arg_min(target, seq) filter (where kind in ('call', 'cache_hit')) as target,
    arg_max(tools_offered, seq) filter (where status = 'ok') as answer_tools
  from attempts
  group by request_id
),
-- of intents there may be hundreds, which a join finds faster; a look through a short list beats the join
intents as (
  select unnest($intents) as word, generate_subscripts($intents, 1) - 1 as code
)
select
  r.rowid as row, hash(r.request_id) as id_hash, r.request_id, epoch_us(r.arrived_at) as arrived_us,
  coalesce(i.code, -1)::smallint as intent,
  (coalesce(list_position($targets, coalesce(firsts.target, r.served, r.requested)), 0) - 1)::smallint as first_target,
  (coalesce(list_position($targets, r.served), 0) - 1)::smallint as served,
  coalesce(r.wait_ms, -1)::integer as wait_ms,
  case
    when r.status = 'ok' then 0
    when r.status is not null then list_position($errors, coalesce(r.error_class, case when r.status in ('timeout', 'cut') then r.status else 'unknown' end)) - 1
    else -1
  end::smallint as error,
  coalesce(r.tools_offered, -1) as tools_offered,
  coalesce(firsts.answer_tools = 0 and r.tools_offered > 0, false) as without_tools, -- the gateway took them away
  coalesce(r.attempts_complete, true) as is_complete,
  firsts.request_id is not null as has_attempts
from requests as r
left join firsts on firsts.request_id = r.request_id
left join intents as i on i.word = r.intent
