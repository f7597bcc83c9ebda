-- one row per attempt of the requests in `touched`, with the columns that depend on other rows
-- parameters: none
-- columns: request_id VARCHAR, attempt_id VARCHAR, seq INTEGER, sent_at TIMESTAMP WITH TIME ZONE, latency_ms BIGINT, tool_errors INTEGER, tool_result_at TIMESTAMP WITH TIME ZONE
with members as (
  select f.*, a.kind, a.target, a.status, a.done_at, a.latency_ms, a.tool_calls, a.tool_errors, a.tool_result_at
  from request_facts as f
  join attempts as a on a.request_id = f.request_id and a.attempt_id = f.attempt_id
  where f.request_id in (select request_id from touched)
),
ordered as (
  -- an answer ends its request, whatever its clock says: the answer of a stream is dated from the request's start
  select
    *,
    row_number() over (partition by request_id order by seq nulls last, status = 'ok', began_at, attempt_id)::integer as place,
    max(done_at) filter (where status <> 'ok') over (partition by request_id) as failed_until,
    bool_or(kind = 'call' and status <> 'ok') over (partition by request_id) as had_failed_call,
    min(target) filter (where kind = 'call' and status <> 'ok') over (partition by request_id) as failed_target
  from members
),
calls as (
  select o.request_id, o.attempt_id, o.done_at, coalesce(o.conversation_id, '') as conversation_id, call.id as call_id, call.ok as well_formed
  from (select *, unnest(calls_made) as call from ordered) as o
),
results as (
  select
    coalesce(conversation_id, '') as conversation_id, result.id as call_id, request_id,
    min(began_at) as known_at, bool_and(result.ok) as ok
  from (select request_id, conversation_id, began_at, unnest(tool_results) as result from request_facts)
  where result.id in (select call_id from calls)
  group by all
),
answers as (
  -- ids may repeat within a log: a result belongs to the nearest earlier answer of its conversation
  select c.request_id, c.attempt_id, c.call_id, arg_min(r.ok, r.known_at) as ok, min(r.known_at) as known_at
  from results as r
  asof join calls as c
    on r.call_id = c.call_id and r.conversation_id = c.conversation_id and r.known_at >= c.done_at
  group by all
),
outcomes as (
  select
    c.request_id, c.attempt_id,
    count(*) filter (where not c.well_formed or not a.ok) as errors,
    count(*) filter (where not c.well_formed or a.ok is not null) as known,
    max(a.known_at) as known_at
  from calls as c
  left join answers as a on a.request_id = c.request_id and a.attempt_id = c.attempt_id and a.call_id = c.call_id
  group by all
)
select
  o.request_id, o.attempt_id, o.place as seq,
  case when o.spans_request and o.status = 'ok' then greatest(o.began_at, coalesce(o.failed_until, o.began_at)) else o.began_at end as sent_at,
  case
    when not coalesce(o.spans_request, false) or o.kind <> 'call' then o.latency_ms
    when o.failed_until is null then round((epoch_us(o.done_at) - epoch_us(o.began_at)) / 1000)::bigint
    -- between a failed call and an answer from elsewhere there may have been retries that no row tells of
    when o.had_failed_call and o.failed_target is distinct from o.target then null
    else greatest(0, round((epoch_us(o.done_at) - epoch_us(greatest(o.began_at, o.failed_until))) / 1000)::bigint)
  end as latency_ms,
  case
    when o.tool_calls = 0 then 0
    when o.calls_made is null then o.tool_errors
    when t.known > 0 then t.errors::integer
  end as tool_errors,
  case when o.calls_made is null then o.tool_result_at else t.known_at end as tool_result_at
from ordered as o
left join outcomes as t on t.request_id = o.request_id and t.attempt_id = o.attempt_id
