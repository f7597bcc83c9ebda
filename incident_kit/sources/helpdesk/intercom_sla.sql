-- one row per conversation with an SLA whose targets it does not date: one label for all of them
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy VARCHAR, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, source VARCHAR
-- ---
-- name: intercom_sla
-- title: Intercom conversations, the status of their SLA
-- table: sla
-- answers:
--   sla: "lower bound: one status a conversation, whichever target it missed, written when a teammate next replies"
-- hints:
--   sla: "read the conversations with the preview API: their parts say which target was applied, paused and missed, and when"
-- ---
-- Nothing is said where the SLA was taken off by hand (no status), and where the parts say more (intercom_sla_events).
with extracted as (
  select
    line,
    json_extract_string(record, ['$.id', '$.created_at', '$.sla_applied.sla_name', '$.sla_applied.sla_status']) as v,
    json_extract_string(record, '$.conversation_parts.conversation_parts[*].part_type') as parts
  from raw
)
select
  line,
  null::varchar as reject,
  trim(v[1]) as ticket_id,
  'any_target' as metric,
  1::integer as instance_no,
  left(v[3], 200) as policy,
  case v[4] when 'hit' then false when 'missed' then true end as breached,
  case v[4] when 'hit' then 'met' when 'missed' then 'breached' else v[4] end as outcome,
  'label' as evidence_level,
  'intercom' as source
from extracted
where trim(v[1]) <> '' and instant(v[2], 'UTC') is not null and v[4] in ('hit', 'missed', 'cancelled', 'active')
  and not coalesce(list_has_any(parts, ['conversation_sla_applied_by_rule', 'conversation_sla_applied_by_workflow']), false)
