-- one row per logged call or cache hit whose duration is known; `row` is the request's, `number` counts from 0 per request and target
-- parameters: none
-- columns: row BIGINT, target SMALLINT, number SMALLINT, sent_us BIGINT, latency_ms INTEGER, error SMALLINT, is_call BOOLEAN
with numbered as (
  select
    *, row_number() over (partition by request_id, target order by seq) - 1 as number,
    -- a cache hit has no latency, which is its target's; what it took is its own
    case when kind = 'cache_hit' then (epoch_us(done_at) - epoch_us(sent_at)) // 1000 end as hit_ms
  from attempts
  where kind in ('call', 'cache_hit')
)
select
  r.rowid as row, t.code as target, n.number::smallint as number, epoch_us(n.sent_at) as sent_us,
  coalesce(n.latency_ms, n.hit_ms)::integer as latency_ms,
  case when n.status = 'ok' then 0 else coalesce(e.code, -1) end::smallint as error,
  n.kind = 'call' as is_call
from numbered as n
join requests as r on r.request_id = n.request_id
join vocabulary as t on t.kind = 'target' and t.word = n.target
left join vocabulary as e on e.kind = 'error' and n.status <> 'ok' and e.word = coalesce(n.error_class, 'unknown')
where coalesce(n.latency_ms, n.hit_ms) is not null and n.sent_at is not null and n.status is not null
