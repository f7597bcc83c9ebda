-- one row per promise of a ticket: first response, the latest other response, resolution
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, recomputed_breached BOOLEAN, source VARCHAR
-- ---
-- name: freshdesk_api_sla
-- title: Freshdesk tickets of the API, their due times
-- table: sla
-- answers:
--   sla: "lower bound: due times and flags of each ticket; targets, opening hours and the statuses in which the clock stands are settings that it does not carry"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.created_at', '$.stats.first_responded_at', '$.stats.resolved_at', '$.stats.closed_at', '$.stats.agent_responded_at',
      '$.stats.requester_responded_at', '$.fr_due_by', '$.due_by', '$.nr_due_by', '$.status', '$.fr_escalated', '$.is_escalated', '$.nr_escalated'
    ]) as v,
    json_exists(record, '$.stats') as with_stats
  from raw
),
timed as (
  select
    line, v, nullif(trim(v[1]), '') as ticket_id, with_stats,
    list_transform(v[2:10], lambda x: instant(x, 'UTC')) as t,
    list_transform(v[12:14], lambda x: case x when 'true' then true when 'false' then false end) as b,
    v[11] in ('4', '5') as ended
  from extracted
),
told as (
  select
    line, ticket_id, with_stats, ended,
    unnest([
      {'metric': 'first_reply', 'started_at': t[1], 'due_at': t[7], 'stopped_at': t[2], 'flag': b[1], 'known': t[7] is not null and (with_stats or b[1])},
      {'metric': 'resolution', 'started_at': t[1], 'due_at': t[8], 'stopped_at': if(ended, coalesce(t[3], t[4]), null), 'flag': b[2], 'known': t[8] is not null},
      {'metric': 'next_reply', 'started_at': t[6], 'due_at': t[9], 'stopped_at': if(t[5] >= t[6], t[5], null), 'flag': b[3], 'known': t[9] is not null}
    ]) as p
  from timed
  -- the ticket's own row is turned down otherwise
  where ticket_id is not null and t[1] is not null and coalesce(t[2] >= t[1], true) and coalesce(t[3] >= t[1], true)
),
-- of what ended, or was answered, without a time there is only the flag
dated as (
  select *, if(p.stopped_at is null and (ended or (p.metric = 'first_reply' and not with_stats)), null, p.due_at) as due_at from told
)
select
  line,
  null::varchar as reject,
  ticket_id,
  p.metric as metric,
  1::integer as instance_no,
  p.started_at as started_at,
  due_at,
  p.stopped_at as stopped_at,
  case when p.flag or p.stopped_at is not null or ended then p.flag end as breached,
  case
    when p.flag then 'breached'
    when p.stopped_at is null and not coalesce(ended, false) then 'active'
    when not p.flag then 'met'
  end as outcome,
  case when due_at is not null then 'instance' else 'label' end as evidence_level,
  p.stopped_at > due_at as recomputed_breached,
  'freshdesk' as source
from dated
where p.known
