-- one row per candidate (line, key, content) that is not loaded, with the reason, seen against each other and against `stored` (key, content)
-- parameters: none
-- columns: line BIGINT, outcome VARCHAR, reason VARCHAR
with repeated as (
  select key from candidates group by key having count(*) > 1
  union
  select key from stored where key in (select key from candidates)
),
contested as (
  select c.line, c.key, c.content, s.content as stored
  from candidates as c
  left join stored as s on s.key = c.key
  where c.key in (select key from repeated)
),
ranked as (
  -- which of several contents is kept must not depend on the order of the lines
  select
    *,
    coalesce(stored, min(content) over (partition by key)) as kept,
    row_number() over (partition by key, content order by line) as copy
  from contested
)
select
  line,
  case when content = kept then 'duplicate' else 'rejected' end as outcome,
  case when content = kept then 'the same row again' else 'another row has the same id and other content' end as reason
from ranked
where content <> kept or stored is not null or copy > 1
