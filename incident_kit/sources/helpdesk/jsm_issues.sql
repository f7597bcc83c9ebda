-- one row per issue
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, status VARCHAR
-- ---
-- name: jsm_issues
-- title: Jira issues of the search API (with the SLA fields of Jira Service Management; expand=changelog adds what happened)
-- table: tickets
-- one_to_one: true
-- detect: [key, fields.created, fields.status]
-- companions: [jsm_issues_sla, jsm_issues_changes]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.key', '$.fields.created', '$.fields.resolutiondate', '$.fields.priority.name', '$.fields.status.name', '$.fields.status.statusCategory.key'
    ]) as v
  from raw
),
named as (
  select
    line, v, nullif(v[1], '') as ticket_id, instant(v[2], null) as created_at, instant(v[3], null) as resolved_at,
    case
      when lower(v[5]) in ('resolved', 'done', 'completed', 'fixed') then 'solved'
      when lower(v[5]) in ('closed', 'canceled', 'cancelled', 'declined') then 'closed'
      when lower(v[5]) like '%customer%' or lower(v[5]) like '%pending%' then 'pending'
      when lower(v[5]) like '%hold%' or lower(v[5]) like '%vendor%' or lower(v[5]) like '%third party%' then 'hold'
      when lower(v[5]) in ('open', 'reopened', 'to do') or lower(v[5]) like '%support%' or lower(v[5]) like '%progress%' or lower(v[5]) like 'escalated%' then 'open'
      when v[6] = 'new' then 'new'
      when v[6] = 'indeterminate' then 'open'
      when v[6] = 'done' then 'solved'
      when v[5] is not null then 'unknown'
    end as status
  from extracted
)
select
  line,
  case
    when ticket_id is null then 'no key'
    when created_at is null then 'created: ''' || left(coalesce(v[2], ''), 40) || ''' is not a time with its offset'
    when v[3] <> '' and resolved_at is null then 'resolutiondate: ''' || left(v[3], 40) || ''' is not a time with its offset'
    when resolved_at < created_at then 'resolutiondate is before created'
  end as reject,
  ticket_id,
  created_at,
  resolved_at as solved_at,
  lower(left(v[4], 40)) as priority,
  status
from named
