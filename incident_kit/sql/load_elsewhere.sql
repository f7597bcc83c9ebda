-- one row per staged record whose request another gateway source already described
-- parameters: $source VARCHAR
-- columns: row_no BIGINT, outcome VARCHAR, reason VARCHAR
select s.row_no, 'duplicate' as outcome, 'the request was already loaded from ' || min(f.source) as reason
from staged as s
join request_facts as f on f.request_id = s.request_id and f.source <> $source
where s.reject is null
group by s.row_no
