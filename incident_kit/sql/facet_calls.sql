-- one row per call to a target: where it went, how long it took and whether it failed
-- parameters: none
-- columns: request_id VARCHAR, at_us BIGINT, target VARCHAR, deployment VARCHAR, provider VARCHAR, latency_ms BIGINT, failed BOOLEAN
select
  a.request_id, epoch_us(coalesce(a.sent_at, r.arrived_at)) as at_us, a.target, a.deployment, a.provider,
  a.latency_ms::bigint as latency_ms, a.status <> 'ok' as failed
from attempts as a
join requests as r on r.request_id = a.request_id
where a.kind = 'call' and a.target is not null
order by at_us, a.request_id, a.seq
