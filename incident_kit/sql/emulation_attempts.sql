-- one row per logged attempt, in order; `error` is NULL where it answered; `spans_request`: its clock began with the request
-- parameters: none
-- columns: request_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, worker VARCHAR, sent_us BIGINT, done_us BIGINT, error VARCHAR, retry_after_us BIGINT, spans_request BOOLEAN
select
  a.request_id, a.kind, a.target, a.deployment, a.worker,
  epoch_us(a.sent_at) as sent_us,
  coalesce(epoch_us(a.done_at), epoch_us(a.sent_at) + 1000 * coalesce(a.latency_ms, 0)) as done_us,
  case
    when coalesce(a.status, 'ok') <> 'ok'
      then coalesce(case when a.status = 'cut' then 'cut' end, a.error_class, case when a.status = 'timeout' then 'timeout' end, 'unknown')
  end as error,
  1000 * a.retry_after_ms as retry_after_us,
  coalesce(f.spans_request, false) as spans_request
from attempts as a
left join request_facts as f on f.request_id = a.request_id and f.attempt_id = a.attempt_id
where a.sent_at is not null
order by a.request_id, a.seq nulls last, a.sent_at, a.attempt_id
