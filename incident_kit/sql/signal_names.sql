-- one row per signal that is loaded
-- parameters: none
-- columns: name VARCHAR, rows BIGINT, first TIMESTAMP WITH TIME ZONE, last TIMESTAMP WITH TIME ZONE, with_target BIGINT
select name, count(*) as rows, min(known_at) as first, max(known_at) as last, count(target) as with_target
from signals
group by name
order by name
