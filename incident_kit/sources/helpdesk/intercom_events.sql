-- one row per moment of a conversation that its parts or its statistics date
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, actor VARCHAR, public BOOLEAN, seq BIGINT
-- ---
-- name: intercom_events
-- title: Intercom conversations, what happened in them (opened, answered, snoozed, assigned, closed, reopened)
-- table: ticket_events
-- ---
with extracted as (
  select
    line,
    nullif(trim(record ->> '$.id'), '') as ticket_id,
    instant(record ->> '$.created_at', 'UTC') as created_at,
    coalesce(json_extract(record, '$.conversation_parts.conversation_parts[*]'), []) as parts
  from raw
),
listed as (
  select
    line, ticket_id, created_at,
    unnest(list_transform(parts, lambda part, place: {'v': json_extract_string(part, [
      '$.part_type', '$.created_at', '$.author.type', '$.author.id', '$.assigned_to.id', '$.event_details.current_priority', '$.body'
    ]), 'place': place})) as p
  from extracted
  where ticket_id is not null and created_at is not null
),
told as (
  select line, ticket_id, created_at as "at", 'created' as type, null::varchar as value, null::varchar as actor, null::boolean as public, 0::bigint as seq
  from extracted
  where ticket_id is not null and created_at is not null
  union all
  select
    line, ticket_id, instant(p.v[2], 'UTC'),
    case
      when p.v[1] in ('comment', 'quick_reply', 'note') then 'comment'
      when p.v[1] in ('assignment', 'default_assignment') then 'assigned'
      when p.v[1] like 'priority_changed%' then 'priority'
      when p.v[1] = 'open' then 'reopen'
      when p.v[1] in ('close', 'snoozed', 'unsnoozed', 'timer_unsnooze') then 'status'
    end,
    case
      when p.v[1] in ('assignment', 'default_assignment') then p.v[5]
      when p.v[1] like 'priority_changed%' then left(p.v[6], 40)
      when p.v[1] = 'close' then 'closed'
      when p.v[1] = 'snoozed' then 'pending'
      when p.v[1] in ('unsnoozed', 'timer_unsnooze') then 'open'
    end,
    p.v[3] || ':' || p.v[4],
    case when p.v[1] in ('comment', 'quick_reply') then true when p.v[1] = 'note' then false end,
    p.place
  from listed
)
select line, null::varchar as reject, ticket_id, "at", type, value, left(actor, 100) as actor, public, seq
from told
where type is not null and "at" is not null
