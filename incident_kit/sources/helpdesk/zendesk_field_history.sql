-- one row per change of a field
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, actor VARCHAR
-- ---
-- name: zendesk_field_history
-- title: Zendesk ticket field history in a warehouse (statuses, priorities, policies and targets as they changed)
-- table: ticket_events
-- one_to_one: true
-- detect: [ticket_id, field_name, updated, value]
-- skips: other fields than status, priority, assignee, group, SLA policy and SLA targets
-- answers:
--   sla: "yes: the target and every status of each ticket; replies need the comments and users too"
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.ticket_id', '$.field_name', '$.updated', '$.value', '$.user_id']) as v from raw
),
named as (
  select
    line,
    nullif(trim(v[1]), '') as ticket_id,
    lower(v[2]) as field,
    v[3] as said_at,
    instant(v[3], 'UTC') as "at",
    nullif(trim(v[4]), '') as value,
    nullif(trim(v[5]), '') as actor,
    lower(v[2]) in (
      'first_reply_time', 'next_reply_time', 'requester_wait_time', 'agent_work_time', 'pausable_update_time',
      'periodic_update_time', 'total_resolution_time'
    ) as is_target
  from extracted
),
targets as (
  select
    *,
    case when is_target and json_valid(value) then json_extract_string(value, ['$.minutes', '$.in_business_hours', '$.seconds']) end as t
  from named
)
select
  line,
  case
    when ticket_id is null then 'no ticket_id'
    when field is null then 'no field_name'
    when field not in ('status', 'priority', 'assignee_id', 'group_id', 'sla_policy') and not is_target
      then 'not for us: the field ' || left(field, 40)
    when "at" is null then 'updated: ''' || left(coalesce(said_at, ''), 40) || ''' is not a time'
    when is_target and value is not null and try_cast(t[1] as double) is null and try_cast(t[3] as double) is null
      then left(field, 40) || ': ''' || left(value, 40) || ''' says no minutes'
    when try_cast(t[1] as double) < 0 or try_cast(t[3] as double) < 0 then left(field, 40) || ' is negative'
    when try_cast(t[1] as double) > 1e7 or try_cast(t[3] as double) > 1e9 then left(field, 40) || ' is no time that a target can have'
  end as reject,
  ticket_id,
  "at",
  case
    when is_target then 'target'
    when field = 'assignee_id' then 'assigned'
    when field = 'group_id' then 'group'
    when field = 'sla_policy' then 'policy'
    else field
  end as type,
  case
    when is_target then to_json({
      'metric': if(field = 'total_resolution_time', 'resolution', regexp_replace(field, '_time$', '')),
      'target_s': try(coalesce(try_cast(t[3] as double), try_cast(t[1] as double) * 60)::bigint),
      'clock': case lower(t[2]) when 'true' then 'business' when 'false' then 'calendar' end
    })::varchar
    when field = 'status' then if(lower(value) in ('hold', 'on-hold', 'on hold'), 'hold', lower(value))
    when field = 'priority' then lower(value)
    -- what any other field holds is nobody's to keep
    when field in ('assignee_id', 'group_id', 'sla_policy') then value
  end as value,
  actor
from targets
