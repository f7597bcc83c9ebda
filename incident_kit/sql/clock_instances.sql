-- one row per SLA instance that a help desk recorded
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, source VARCHAR, evidence_level VARCHAR, basis VARCHAR, policy VARCHAR, clock VARCHAR, target_s BIGINT, started_us BIGINT, stopped_us BIGINT, paused_s BIGINT, schedule_id VARCHAR, is_cancelled BOOLEAN, recorded_elapsed_s BIGINT, recorded_due_us BIGINT, recorded_breached BOOLEAN, recorded_outcome VARCHAR
with followed as (
  select distinct ticket_id, metric, instance_no from sla_events where type = 'start'
)
select
  s.ticket_id, s.metric, s.instance_no,
  coalesce(s.source, nullif(split_part(l.source, '_', 1), 'canonical')) as source,
  s.evidence_level,
  if(f.ticket_id is null, 'times', 'events') as basis,
  s.policy, s.clock, s.target_s,
  epoch_us(s.started_at) as started_us,
  epoch_us(s.stopped_at) as stopped_us,
  s.paused_s, s.schedule_id,
  coalesce(s.outcome = 'cancelled', false) as is_cancelled,
  s.elapsed_s as recorded_elapsed_s,
  epoch_us(s.due_at) as recorded_due_us,
  s.breached as recorded_breached,
  s.outcome as recorded_outcome
from sla as s
left join followed as f on f.ticket_id = s.ticket_id and f.metric = s.metric and f.instance_no = s.instance_no
left join loads as l on l.load_id = s.load_id
order by s.ticket_id, s.metric, s.instance_no
