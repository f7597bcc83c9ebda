-- one row per change of an issue's status, priority or assignee, and its creation
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, actor VARCHAR, seq BIGINT
-- ---
-- name: jsm_issues_changes
-- title: Jira issues, what their changelog tells
-- table: ticket_events
-- ---
with extracted as (
  select
    line,
    nullif(record ->> '$.key', '') as ticket_id,
    instant(record ->> '$.fields.created', null) as created_at,
    coalesce(json_extract(record, '$.changelog.histories[*]'), []) as histories
  from raw
),
entries as (
  select line, ticket_id, created_at, unnest(histories) as h from extracted where ticket_id is not null and created_at is not null
),
items as (
  select
    line, ticket_id, created_at, instant(h ->> '$.created', null) as "at",
    coalesce(h ->> '$.author.accountId', h ->> '$.author.name') as actor,
    try_cast(h ->> '$.id' as integer) as id,
    unnest(list_transform(coalesce(json_extract(h, '$.items[*]'), []), lambda item, place: {
      'place': place, 'v': json_extract_string(item, ['$.field', '$.fromString', '$.toString', '$.to'])
    })) as i
  from entries
),
worded as (
  select
    *,
    coalesce(id, 0)::bigint * 1000 + i.place as seq,
    case
      when lower(i.v[3]) in ('resolved', 'done', 'completed', 'fixed') then 'solved'
      when lower(i.v[3]) in ('closed', 'canceled', 'cancelled', 'declined') then 'closed'
      when lower(i.v[3]) like '%customer%' or lower(i.v[3]) like '%pending%' then 'pending'
      when lower(i.v[3]) like '%hold%' or lower(i.v[3]) like '%vendor%' or lower(i.v[3]) like '%third party%' then 'hold'
      when lower(i.v[3]) in ('open', 'reopened', 'to do') or lower(i.v[3]) like '%support%' or lower(i.v[3]) like '%progress%' or lower(i.v[3]) like 'escalated%' then 'open'
      else 'unknown'
    end as after,
    lower(i.v[2]) in ('resolved', 'done', 'completed', 'fixed', 'closed', 'canceled', 'cancelled', 'declined') as was_ended
  from items
  where "at" >= created_at and i.v[1] in ('status', 'priority', 'assignee')
),
told as (
  select line, ticket_id, created_at as "at", 'created' as type, null::varchar as value, null::varchar as actor, 0::bigint as seq
  from extracted
  where ticket_id is not null and created_at is not null
  union all
  select
    line, ticket_id, "at", if(i.v[1] = 'assignee', 'assigned', i.v[1]),
    case i.v[1] when 'status' then after when 'priority' then lower(left(i.v[3], 40)) else left(coalesce(i.v[4], i.v[3]), 100) end,
    actor, seq
  from worded
  union all
  select line, ticket_id, "at", 'reopen', null, actor, seq
  from worded
  where i.v[1] = 'status' and was_ended and after not in ('solved', 'closed')
)
select line, null::varchar as reject, ticket_id, "at", type, value, left(actor, 100) as actor, seq
from told
