-- one row per ticket in `touched`: of each column what the first file (by its format's name) says, else what happened to the ticket
-- parameters: none
-- columns: ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, intent VARCHAR, reopens INTEGER, csat DOUBLE, assigned_at TIMESTAMP WITH TIME ZONE, status VARCHAR, group_name VARCHAR, url VARCHAR
with told as (
  select f.*
  from ticket_facts as f
  join (select distinct ticket_id from touched) as t on t.ticket_id = f.ticket_id
),
said as (
  select
    ticket_id,
    arg_min(created_at, source) filter (created_at is not null) as created_at,
    arg_min(first_reply_at, source) filter (first_reply_at is not null) as first_reply_at,
    arg_min(solved_at, source) filter (solved_at is not null) as solved_at,
    arg_min(priority, source) filter (priority is not null) as priority,
    arg_min(channel, source) filter (channel is not null) as channel,
    arg_min(intent, source) filter (intent is not null) as intent,
    arg_min(reopens, source) filter (reopens is not null) as reopens,
    arg_min(csat, source) filter (csat is not null) as csat,
    arg_min(assigned_at, source) filter (assigned_at is not null) as assigned_at,
    arg_min(status, source) filter (status is not null) as status,
    arg_min(group_name, source) filter (group_name is not null) as group_name,
    arg_min(url, source) filter (url is not null) as url
  from told
  group by ticket_id
),
happened as (
  select
    e.ticket_id,
    min(e."at") filter (e.type = 'assigned' and e.value is not null) as assigned_at,
    min(e."at") filter (e.type = 'comment' and e.public and a.role = 'agent' and e."at" > s.created_at) as first_reply_at,
    max(e."at") filter (e.type = 'reopen' or (e.type = 'status' and e.value not in ('solved', 'closed'))) as last_open_at,
    bool_or(e.type = 'status') as has_statuses,
    count(*) filter (e.type = 'reopen') as reopens
  from ticket_events as e
  join said as s on s.ticket_id = e.ticket_id
  left join actors as a on a.actor_id = e.actor
  group by e.ticket_id
),
ended as (
  select e.ticket_id, min(e."at") as solved_at
  from ticket_events as e
  join happened as h on h.ticket_id = e.ticket_id
  where e.type = 'status' and e.value in ('solved', 'closed') and (h.last_open_at is null or e."at" > h.last_open_at)
  group by e.ticket_id
)
select
  s.ticket_id, s.created_at,
  coalesce(s.first_reply_at, h.first_reply_at) as first_reply_at,
  coalesce(s.solved_at, e.solved_at) as solved_at,
  s.priority, s.channel, s.intent,
  coalesce(s.reopens, if(h.has_statuses, h.reopens, null))::integer as reopens,
  s.csat,
  coalesce(s.assigned_at, h.assigned_at) as assigned_at,
  s.status, s.group_name, s.url
from said as s
left join happened as h on h.ticket_id = s.ticket_id
left join ended as e on e.ticket_id = s.ticket_id
