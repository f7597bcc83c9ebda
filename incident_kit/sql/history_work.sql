-- one row per stretch with one status, of the tickets in `alive`
-- parameters: none
-- columns: ticket_id VARCHAR, status VARCHAR, starts_us BIGINT, ends_us BIGINT
with ranked as (
  select
    e.ticket_id, e."at", e.value,
    -- two rows of one instant: the later one in a ticket's life is what it was afterwards
    list_position(['new', 'open', 'pending', 'hold', 'solved', 'closed'], e.value) as place,
    e.seq
  from ticket_events as e
  join alive as t on t.ticket_id = e.ticket_id
  where e.type = 'status' and e.value is not null
),
stretches as (
  select
    ticket_id, value as status, "at",
    lead("at") over (partition by ticket_id order by "at", seq nulls last, place nulls last, value) as until
  from ranked
)
select ticket_id, status, epoch_us("at") as starts_us, epoch_us(until) as ends_us
from stretches
where until is null or until > "at"
order by ticket_id, "at"
