-- one row per logged call or cache hit whose duration is known; `row` is the request's, `number` counts from 0 per request and target
-- parameters: $targets VARCHAR[], $errors VARCHAR[]
-- columns: row BIGINT, target SMALLINT, number SMALLINT, sent_us BIGINT, latency_ms INTEGER, error SMALLINT, is_call BOOLEAN
with numbered as (
  select
    request_id, target, kind, status, error_class, epoch_us(sent_at) as sent_us,
    (row_number() over (partition by request_id, target order by seq) - 1)::smallint as number,
    -- a cache hit has no latency, which is its target's; what it took is its own
    coalesce(latency_ms, case when kind = 'cache_hit' then (epoch_us(done_at) - epoch_us(sent_at)) // 1000 end)::integer
      as latency_ms
  from attempts
  where kind in ('call', 'cache_hit')
)
select
  r.rowid as row, (list_position($targets, n.target) - 1)::smallint as target, n.number, n.sent_us, n.latency_ms,
  case
    when n.status = 'ok' then 0 else list_position($errors, coalesce(n.error_class, case when n.status in ('timeout', 'cut') then n.status else 'unknown' end)) - 1
  end::smallint as error,
  n.kind = 'call' as is_call
from numbered as n
join requests as r on r.request_id = n.request_id
where n.latency_ms is not null and n.sent_us is not null and n.status is not null and n.target is not null
