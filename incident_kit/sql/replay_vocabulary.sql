-- one row per distinct intent, target or error class of the log, numbered from 0 within its kind; error 0 is "ok"
-- parameters: none
-- columns: kind VARCHAR, code SMALLINT, word VARCHAR
with combinations as materialized (
  select distinct
    intent, requested, served, case when status <> 'ok' then coalesce(error_class, case when status in ('timeout', 'cut') then status else 'unknown' end) end as error
  from requests
  union all
  select distinct null, null, target, case when status <> 'ok' then coalesce(error_class, case when status in ('timeout', 'cut') then status else 'unknown' end) end from attempts
),
words as (
  select 'intent' as kind, intent as word from combinations
  union
  select 'target', requested from combinations
  union
  select 'target', served from combinations
  union
  select 'error', error from combinations
  union
  select 'error', 'timeout'
  union
  select 'error', 'rejected' -- what a policy's `reject` answers
)
select kind, (row_number() over (partition by kind order by word))::smallint - (kind <> 'error')::smallint as code, word
from words
where word is not null
union all
select 'error', 0::smallint, 'ok'
order by kind, code
