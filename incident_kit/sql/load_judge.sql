-- one row per candidate (row_no, key, content) of a contested key that is not loaded, with the reason
-- parameters: none
-- columns: row_no BIGINT, outcome VARCHAR, reason VARCHAR
with known as (
  select key, content from stored where key in (select key from contested)
),
ranked as (
  -- which of several contents is kept must not depend on the order of the lines
  select
    c.row_no, c.content, known.content as stored,
    coalesce(known.content, min(c.content) over (partition by c.key)) as kept,
    row_number() over (partition by c.key, c.content order by c.row_no) as copy
  from candidates as c
  left join known on known.key = c.key
  where c.key in (select key from contested)
)
select
  row_no,
  case when content = kept then 'duplicate' else 'rejected' end as outcome,
  case when content = kept then 'the same row again' else 'another row has the same id and other content' end as reason
from ranked
where content <> kept or stored is not null or copy > 1
