-- one row per wait for an agent's public reply, of the tickets in `alive`: the first, and each next one
-- parameters: $bots_reply BOOLEAN, $solve_stops_reply BOOLEAN
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, started_us BIGINT, stopped_us BIGINT, unknown_authors BIGINT
with spoken as (
  select
    e.ticket_id, e."at", e.seq,
    a.role = 'agent' or (a.role = 'bot' and $bots_reply) as answers,
    a.role = 'end_user' as asks,
    a.role is null as is_unknown
  from ticket_events as e
  join alive as t on t.ticket_id = e.ticket_id
  left join actors as a on a.actor_id = e.actor
  where e.type = 'comment' and e.public
),
solved as (
  select e.ticket_id, e."at"
  from ticket_events as e
  join alive as t on t.ticket_id = e.ticket_id
  where $solve_stops_reply and e.type = 'status' and e.value in ('solved', 'closed')
),
numbered as (
  select
    s.*,
    t.created_at,
    -- how many replies there were before this comment; those at the very creation are none
    count(*) filter (where s.answers and s."at" > t.created_at) over (
      partition by s.ticket_id order by s."at", s.seq nulls last
      rows between unbounded preceding and current row
    ) as replies
  from spoken as s
  join alive as t on t.ticket_id = s.ticket_id
),
replied as (
  select ticket_id, replies, min("at") as "at" from numbered where answers and "at" > created_at group by all
),
authors as (
  select ticket_id, count(*) filter (where is_unknown) as unknown_authors from numbered where "at" > created_at group by all
),
waits as (
  select ticket_id, 0 as replies, created_at as started_at from alive
  union all
  select ticket_id, replies, min("at") as started_at from numbered where asks and replies > 0 group by all
),
ended as (
  select
    w.ticket_id, w.replies, w.started_at,
    least(any_value(r."at"), min(s."at") filter (where s."at" > w.started_at)) as stopped_at
  from waits as w
  left join replied as r on r.ticket_id = w.ticket_id and r.replies = w.replies + 1
  left join solved as s on s.ticket_id = w.ticket_id
  group by all
)
select
  e.ticket_id,
  if(e.replies = 0, 'first_reply', 'next_reply') as metric,
  (row_number() over (partition by e.ticket_id order by e.replies))::integer as instance_no,
  epoch_us(e.started_at) as started_us,
  epoch_us(e.stopped_at) as stopped_us,
  coalesce(a.unknown_authors, 0) as unknown_authors
from ended as e
left join authors as a on a.ticket_id = e.ticket_id
order by e.ticket_id, instance_no
