-- one row per policy that a ticket was given
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR
-- ---
-- name: zendesk_ticket_policy
-- title: Zendesk SLA policies of tickets in a warehouse
-- table: ticket_events
-- one_to_one: true
-- detect: [ticket_id, sla_policy_id, policy_applied_at]
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.ticket_id', '$.policy_applied_at', '$.sla_policy_id']) as v from raw
),
named as (
  select line, v, nullif(v[1], '') as ticket_id, instant(v[2], 'UTC') as "at", nullif(v[3], '') as value from extracted
)
select
  line,
  case
    when ticket_id is null then 'no ticket_id'
    when value is null then 'no sla_policy_id'
    when "at" is null then 'policy_applied_at: ''' || left(coalesce(v[2], ''), 40) || ''' is not a time'
  end as reject,
  ticket_id, "at", 'policy_id' as type, value
from named
