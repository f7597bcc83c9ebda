-- one row per key that several candidates have, or a candidate and a stored row
-- parameters: none
-- columns: key VARCHAR
select key from candidates group by key having count(*) > 1
union
select key from stored where key in (select key from candidates)
