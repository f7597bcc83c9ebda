-- one row per distinct intent, target or error class of the log, numbered from 0 within its kind; error 0 is "ok"
-- parameters: none
-- columns: kind VARCHAR, code SMALLINT, word VARCHAR
with words as (
  select 'intent' as kind, intent as word from requests
  union
  select 'target', requested from requests
  union
  select 'target', served from requests
  union
  select 'target', target from attempts
  union
  select 'error', coalesce(error_class, 'unknown') from requests where status <> 'ok'
  union
  select 'error', coalesce(error_class, 'unknown') from attempts where status <> 'ok'
  union
  select 'error', 'timeout'
)
select kind, (row_number() over (partition by kind order by word))::smallint - (kind <> 'error')::smallint as code, word
from words
where word is not null
union all
select 'error', 0::smallint, 'ok'
