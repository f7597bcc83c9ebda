-- one row per target that was applied to a recorded SLA clock, in order; the same one again is left out
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, from_us BIGINT, target_s BIGINT, clock VARCHAR, policy VARCHAR
with applied as (
  select
    ticket_id, metric, instance_no, "at", seq, target_s, clock, policy,
    lag(row(target_s, clock)) over (partition by ticket_id, metric, instance_no order by "at", seq) as before
  from sla_events
  where type in ('apply', 'target_change') and target_s is not null
)
select ticket_id, metric, instance_no, epoch_us("at") as from_us, target_s, clock, policy
from applied
where before is distinct from row(target_s, clock)
order by ticket_id, metric, instance_no, "at", seq
