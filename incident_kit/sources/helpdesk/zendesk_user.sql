-- one row per user
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, actor_id VARCHAR, role VARCHAR
-- ---
-- name: zendesk_user
-- title: Zendesk users (who is an agent; no name and no address is read)
-- table: actors
-- one_to_one: true
-- detect: [id, role, locale_id, suspended, moderator]
-- ---
with extracted as (
  select line, json_extract_string(record, ['$.id', '$.role', '$.shared_agent']) as v from raw
),
named as (
  select line, nullif(v[1], '') as actor_id, lower(v[2]) as role, lower(v[3]) = 'true' as is_shared from extracted
)
select
  line,
  case
    when actor_id is null then 'no id'
    when role is null or role not in ('agent', 'admin', 'end-user', 'end_user') then 'role: ''' || left(coalesce(role, ''), 40) || ''' is not agent, admin or end-user'
  end as reject,
  actor_id,
  case
    -- Zendesk's own automations write as user -1; the agents of another account stop no clock
    when actor_id = '-1' or is_shared then 'bot'
    when role in ('agent', 'admin') then 'agent'
    when role in ('end-user', 'end_user') then 'end_user'
  end as role
from named
