-- one row per re-opening of a ticket in `touched` that its statuses alone tell: Zendesk's history names none itself
-- parameters: none
-- columns: ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR
with statuses as (
  select
    e.ticket_id, e."at", e.value,
    lag(e.value) over (
      partition by e.ticket_id
      -- two rows of one instant: the later one in a ticket's life is what it was afterwards
      order by e."at", e.seq nulls last, list_position(['new', 'open', 'pending', 'hold', 'solved', 'closed'], e.value) nulls last, e.value
    ) as before
  from ticket_events as e
  join (select distinct ticket_id from touched) as t on t.ticket_id = e.ticket_id
  join loads as l on l.load_id = e.load_id
  where e.type = 'status' and e.value is not null and l.source = 'zendesk_field_history'
)
select distinct ticket_id, "at", 'reopen' as type
from statuses
where before in ('solved', 'closed') and value not in ('solved', 'closed')
