-- one row per ticket in `touched`: of each column what the first file (by its format's name) says
-- parameters: none
-- columns: ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, intent VARCHAR, reopens INTEGER, csat DOUBLE, assigned_at TIMESTAMP WITH TIME ZONE, status VARCHAR, group_name VARCHAR, url VARCHAR
with told as (
  select f.*
  from ticket_facts as f
  join (select distinct ticket_id from touched) as t on t.ticket_id = f.ticket_id
)
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
