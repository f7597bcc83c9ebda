-- one row per id of the incident that is one of the given words
-- parameters: $words VARCHAR[]
-- columns: id VARCHAR, noun VARCHAR
with wanted as (
  select distinct unnest($words) as id
),
every as (
  select request_id as id, 'request' as noun from requests
  union all
  select attempt_id, 'attempt' from attempts
  union all
  select conversation_id, 'conversation' from requests
  union all
  select ticket_id, 'ticket' from requests
  union all
  select ticket_id, 'ticket' from tickets
  union all
  select ticket_id, 'ticket' from sla
  union all
  select suggestion_id, 'suggestion' from feedback
)
select e.id, min(e.noun) as noun
from every as e
semi join wanted as w on w.id = e.id
group by e.id
order by e.id
