-- one row per suggestion and product that recorded it, with what became of it; request_id only where the record names one that is in the log
-- parameters: none
-- columns: source VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, names_request BOOLEAN, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, decision VARCHAR
with whole as (
  -- a thumb down and the text sent instead are two records of one decision: the one that says more counts
  select
    source, coalesce(suggestion_id, feedback_id) as suggestion_id,
    min(request_id) as request_id,
    min(ticket_id) as ticket_id,
    min(shown_at) as shown_at,
    min("at") as decided_at,
    case
      when bool_or(decision = 'edited') then 'edited'
      when bool_or(decision = 'rejected') then 'rejected'
      when bool_or(decision = 'accepted') then 'accepted'
      when bool_or(decision = 'ignored') then 'ignored'
      else 'unknown'
    end as decision
  from feedback
  group by source, coalesce(suggestion_id, feedback_id)
)
select
  w.source, w.suggestion_id, r.request_id, w.request_id is not null as names_request, w.ticket_id,
  coalesce(w.shown_at, r.arrived_at, w.decided_at) as "at",
  w.decision
from whole as w
left join requests as r on r.request_id = w.request_id
order by "at", w.source, w.suggestion_id
