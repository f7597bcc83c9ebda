-- one row per suggestion and product that recorded it, with what became of it and the request that it answers where that is known
-- parameters: none
-- columns: source VARCHAR, suggestion_id VARCHAR, intent VARCHAR, target VARCHAR, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, is_linked BOOLEAN
with whole as (
  -- a thumb down and the text sent instead are two records of one decision: the one that says more counts
  select
    source, coalesce(suggestion_id, feedback_id) as suggestion_id,
    arg_min(request_id, feedback_id) as request_id,
    min(shown_at) as shown_at,
    min("at") filter (where overridden is not null) as decided_at,
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
  w.source, w.suggestion_id, r.intent, r.served as target,
  coalesce(w.shown_at, r.arrived_at, w.decided_at) as "at",
  w.decision,
  r.request_id is not null as is_linked
from whole as w
left join requests as r on r.request_id = w.request_id
