-- one row per request, by id; `error` is NULL where it was answered or nobody knows how it ended
-- parameters: none
-- columns: request_id VARCHAR, requested VARCHAR, served VARCHAR, error VARCHAR, done_us BIGINT
select
  request_id, requested, served,
  case
    when coalesce(status, 'ok') <> 'ok'
      then coalesce(case when status = 'cut' then 'cut' end, error_class, case when status = 'timeout' then 'timeout' end, 'unknown')
  end as error,
  epoch_us(arrived_at) + 1000 * coalesce(wait_ms, 0) as done_us
from requests
order by request_id
