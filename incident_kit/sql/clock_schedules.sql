-- one row per schedule that a ticket was given, in order of time
-- parameters: none
-- columns: ticket_id VARCHAR, from_us BIGINT, schedule_id VARCHAR
with given as (
  select
    ticket_id, "at", seq, value,
    lag(value) over (partition by ticket_id order by "at", seq nulls last, value) as before
  from ticket_events
  where type = 'schedule' and value is not null
)
select ticket_id, epoch_us("at") as from_us, value as schedule_id
from given
where before is distinct from value
order by ticket_id, "at", seq nulls last, value
