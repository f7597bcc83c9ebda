-- one row per run of a recorded SLA clock, as its events say
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, starts_us BIGINT, ends_us BIGINT
with turns as (
  select
    ticket_id, metric, instance_no, type, "at",
    lead("at") over (partition by ticket_id, metric, instance_no order by "at", seq) as until
  from sla_events
  where type in ('start', 'resume', 'pause', 'stop', 'cancel', 'reset')
)
select ticket_id, metric, instance_no, epoch_us("at") as starts_us, epoch_us(until) as ends_us
from turns
where type in ('start', 'resume')
