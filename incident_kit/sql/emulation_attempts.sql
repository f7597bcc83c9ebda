-- one row per logged attempt, in order; `error` is NULL where it answered
-- parameters: none
-- columns: request_id VARCHAR, kind VARCHAR, target VARCHAR, deployment VARCHAR, worker VARCHAR, sent_us BIGINT, done_us BIGINT, error VARCHAR, retry_after_us BIGINT
select
  request_id, kind, target, deployment, worker,
  epoch_us(sent_at) as sent_us,
  coalesce(epoch_us(done_at), epoch_us(sent_at) + 1000 * coalesce(latency_ms, 0)) as done_us,
  case
    when coalesce(status, 'ok') <> 'ok'
      then coalesce(case when status = 'cut' then 'cut' end, error_class, case when status = 'timeout' then 'timeout' end, 'unknown')
  end as error,
  1000 * retry_after_ms as retry_after_us
from attempts
where sent_at is not null
order by request_id, seq nulls last, sent_at, attempt_id
