-- one row per ticket that is deleted, or was merged into another one
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR
-- ---
-- name: zendesk_ticket_gone
-- title: Zendesk tickets, those that are deleted or were merged
-- table: ticket_events
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.id', '$.status', '$.updated_at', '$.merged_ticket_ids']) as v from raw
),
gone as (
  select line, nullif(v[1], '') as ticket_id, instant(v[3], 'UTC') as "at", 'deleted' as type, null::varchar as value
  from extracted
  where lower(v[2]) = 'deleted'
  union all
  -- the ticket that took others in names them
  select line, unnest(regexp_extract_all(v[4], '[0-9]+')), instant(v[3], 'UTC'), 'merged', v[1]
  from extracted
  where v[4] is not null
)
select line, if("at" is null, 'updated_at is not a time', null) as reject, ticket_id, "at", type, value
from gone
where ticket_id is not null
