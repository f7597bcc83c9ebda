-- one row per author of a conversation's parts
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, actor_id VARCHAR, role VARCHAR
-- ---
-- name: intercom_actors
-- title: Intercom conversations, who wrote in them
-- table: actors
-- ---
with listed as (
  select unnest(coalesce(json_extract(record, '$.conversation_parts.conversation_parts[*].author'), [])) as author, line from raw
),
named as (
  select line, author ->> '$.type' as type, author ->> '$.id' as id from listed
)
select
  min(line) as line,
  null::varchar as reject,
  left(type || ':' || id, 100) as actor_id,
  case min(type) when 'admin' then 'agent' when 'bot' then 'bot' else 'end_user' end as role
from named
where type in ('admin', 'bot', 'user', 'lead', 'contact') and id <> ''
group by actor_id
