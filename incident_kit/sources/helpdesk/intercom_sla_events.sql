-- one row per event of an SLA clock that a conversation's parts tell
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, at TIMESTAMP WITH TIME ZONE, type VARCHAR, target_s BIGINT, clock VARCHAR, policy VARCHAR, seq BIGINT
-- ---
-- name: intercom_sla_events
-- title: Intercom conversations of the preview API, the SLA parts in them
-- table: sla_events
-- answers:
--   sla: "yes: when each target was applied, paused and missed; replies and closes from the conversation's own parts"
-- ---
-- A miss is written when a teammate next replies: by its negative seconds_remaining the time was over no later than that much
-- earlier. Replies of bots stop nothing.
with extracted as (
  select
    line,
    nullif(trim(record ->> '$.id'), '') as ticket_id,
    instant(record ->> '$.statistics.first_contact_reply_at', 'UTC') as contact_at,
    instant(record ->> '$.statistics.first_admin_reply_at', 'UTC') as admin_at,
    if(record ->> '$.state' = 'closed', instant(record ->> '$.statistics.last_close_at', 'UTC'), null) as closed_at,
    instant(record ->> '$.created_at', 'UTC') as created_at,
    coalesce(json_extract(record, '$.conversation_parts.conversation_parts[*]'), []) as listed
  from raw
),
parts as (
  select
    line, ticket_id, contact_at, admin_at, closed_at,
    unnest(list_transform(listed, lambda part, place: {
      'place': place,
      'v': json_extract_string(part, ['$.part_type', '$.created_at', '$.author.type', '$.body']),
      'd': coalesce(json_extract(part, '$.event_details'), part)
    })) as p
  from extracted
  where ticket_id is not null and created_at is not null
),
timed as (
  select *, p.v[1] as kind, instant(p.v[2], 'UTC') as "at" from parts where instant(p.v[2], 'UTC') is not null
),
-- the targets of each time that an SLA was applied
applied as (
  select
    line, ticket_id, contact_at, admin_at, closed_at, "at", p.place as place, left(p.d ->> '$.sla_name', 200) as policy,
    unnest(['first_reply_time', 'next_reply_time', 'resolution_time', 'time_to_close']) as target,
    unnest(json_extract_string(p.d, [
      '$.sla_definition.first_reply_time', '$.sla_definition.next_reply_time', '$.sla_definition.resolution_time', '$.sla_definition.time_to_close'
    ])) as seconds
  from timed
  where kind in ('conversation_sla_applied_by_rule', 'conversation_sla_applied_by_workflow')
),
targets as (
  select
    *, try_cast(try_cast(seconds as double) as bigint) as target_s,
    row_number() over (partition by line, target order by "at", place) as nth
  from applied
  where try_cast(seconds as double) > 0
),
-- clocks that run once: from the contact's first message, or from when the SLA came
single as (
  select
    line, ticket_id, target, least(min("at"), coalesce(any_value(contact_at), min("at"))) as started_at,
    case target when 'first_reply_time' then any_value(admin_at) else any_value(closed_at) end as stopped_at
  from targets
  where target <> 'next_reply_time'
  group by line, ticket_id, target
),
-- human messages; an answer may come with a close or an assignment
said as (
  select
    line, ticket_id, "at", p.place as place, p.v[3] = 'admin' as by_admin,
    lag(p.v[3] = 'admin') over (partition by line order by "at", p.place) as after_admin
  from timed
  where (kind in ('comment', 'quick_reply') or (kind in ('close', 'assignment', 'open') and p.v[4] <> ''))
    and p.v[3] in ('admin', 'user', 'lead', 'contact')
),
turns as (
  select *, count(*) filter (where not by_admin and after_admin) over (partition by line order by "at", place) as turn from said
),
-- each question after an answer runs until the next answer
turned as (
  select
    t.line, t.ticket_id, t.turn, min(t."at") as started_at, min(t."at") filter (where t.by_admin) as stopped_at
  from turns as t
  where t.turn > 0
  group by t.line, t.ticket_id, t.turn
),
runs as (
  select line, ticket_id, target, 1 as instance_no, started_at, if(stopped_at >= started_at, stopped_at, null) as stopped_at from single
  union all
  select u.line, u.ticket_id, 'next_reply_time', row_number() over (partition by u.line order by u.turn), u.started_at, u.stopped_at
  from turned as u
  where exists (from targets as g where g.line = u.line and g.target = 'next_reply_time' and g."at" <= coalesce(u.stopped_at, 'infinity'::timestamptz))
),
-- what of the SLA's own parts falls to which clock: those that begin before the clock stops; a miss may be told with the stop
noted as (
  select
    r.line, r.ticket_id, r.target, r.instance_no, greatest(r.started_at, g."at") as "at", 'apply' as type, g.target_s, g.policy, g.nth as place
  from runs as r
  join targets as g on g.line = r.line and g.target = r.target and g."at" <= coalesce(r.stopped_at, 'infinity'::timestamptz)
  -- of those before a later clock began, the last
  where r.target <> 'next_reply_time' or g."at" > r.started_at
    or g.nth = (select max(h.nth) from targets as h where h.line = r.line and h.target = r.target and h."at" <= r.started_at)
  union all
  select
    r.line, r.ticket_id, r.target, r.instance_no,
    case
      when e.kind = 'conversation_sla_target_missed' then greatest(r.started_at, e."at" - to_seconds(least(1e9, greatest(
        0, -coalesce(try_cast(json_extract_string(e.p.d, ['$.sla_states.first_reply_time.seconds_remaining',
          '$.sla_states.next_reply_time.seconds_remaining', '$.sla_states.resolution_time.seconds_remaining',
          '$.sla_states.time_to_close.seconds_remaining'])[list_position(['first_reply_time', 'next_reply_time', 'resolution_time', 'time_to_close'], r.target)] as double), 0)
      ))))
      else e."at"
    end,
    case e.kind
      when 'conversation_sla_target_missed' then 'breach'
      when 'conversation_sla_paused' then 'pause'
      when 'conversation_sla_unpaused' then 'start'
      when 'conversation_sla_removed' then 'cancel'
    end,
    null, left(e.p.d ->> '$.sla_name', 200), e.p.place
  from runs as r
  join timed as e on e.line = r.line and e."at" >= r.started_at
  where (e.kind = 'conversation_sla_target_missed' and e.p.d ->> '$.sla_target_type' = r.target
      and (r.target <> 'next_reply_time' or r.instance_no = (
        select max(o.instance_no) from runs as o where o.line = e.line and o.target = r.target and o.started_at <= e."at"
      )))
    or (e.kind in ('conversation_sla_paused', 'conversation_sla_unpaused', 'conversation_sla_removed')
      and e."at" > r.started_at and e."at" < coalesce(r.stopped_at, 'infinity'::timestamptz))
  union all
  select line, ticket_id, target, instance_no, started_at, 'start', null, null, 0 from runs
  union all
  select line, ticket_id, target, instance_no, stopped_at, 'stop', null, null, 0 from runs where stopped_at is not null
)
select
  line,
  null::varchar as reject,
  ticket_id,
  regexp_replace(target, '_time$', '') as metric,
  instance_no::integer as instance_no,
  "at",
  type,
  target_s,
  case when type = 'apply' then 'business' end as clock,
  policy,
  row_number() over (
    partition by line, ticket_id, target, instance_no
    order by "at", list_position(['start', 'apply', 'pause', 'breach', 'stop', 'cancel'], type), place
  ) as seq
from noted
