-- one row per logged call or cache hit; `row` is the request's, `is_known` says that how long it took and how it ended is
-- parameters: $targets VARCHAR[], $errors VARCHAR[]
-- columns: row BIGINT, target SMALLINT, seq INTEGER, sent_us BIGINT, latency_ms INTEGER, error SMALLINT, is_call BOOLEAN, is_known BOOLEAN
with timed as (
  select
    *,
    -- a cache hit has no latency, which is its target's; what it took is its own
    coalesce(latency_ms, case when kind = 'cache_hit' then (epoch_us(done_at) - epoch_us(sent_at)) // 1000 end) as took_ms,
    coalesce(error_class, case when status in ('timeout', 'cut') then status else 'unknown' end) as error
  from attempts
  where kind in ('call', 'cache_hit') and target is not null
)
select
  r.rowid as row, (list_position($targets, t.target) - 1)::smallint as target, coalesce(t.seq, 2147483647) as seq,
  coalesce(epoch_us(t.sent_at), -1) as sent_us, coalesce(t.took_ms, -1)::integer as latency_ms,
  case when t.status = 'ok' then 0 when t.status is null then -1 else list_position($errors, t.error) - 1 end::smallint as error,
  t.kind = 'call' as is_call,
  t.took_ms is not null and t.sent_at is not null and t.status is not null as is_known
from timed as t
join requests as r on r.request_id = t.request_id
