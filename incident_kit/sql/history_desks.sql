-- one row per help desk whose tickets' histories tell targets; '' where it is not known which
-- parameters: none
-- columns: source VARCHAR
select distinct coalesce(nullif(split_part(l.source, '_', 1), 'canonical'), '') as source
from ticket_events as e
left join loads as l on l.load_id = e.load_id
where e.type = 'target' or (e.type = 'policy_id' and exists (from sla_targets))
order by source
