-- one row per field of a case that changed
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, actor VARCHAR
-- ---
-- name: salesforce_history
-- title: Salesforce CaseHistory (data loader CSV, or a query's JSON)
-- table: ticket_events
-- one_to_one: true
-- detect: [CaseId, Field, NewValue, CreatedDate]
-- skips: "fields other than status, priority, owner, created and closed"
-- ---
with extracted as materialized (
  select
    line,
    list_transform(
      json_extract_string(record, ['$.CaseId', '$.Field', '$.NewValue', '$.CreatedDate', '$.CreatedById', '$.OldValue']),
      lambda x: nullif(trim(x), '')
    ) as v
  from raw
),
named as (
  select line, v, lower(v[2]) as field, instant(v[4], $zone) as "at" from extracted
)
select
  line,
  case
    when v[1] is null then 'no CaseId'
    when field is null then 'no Field'
    when v[4] is null then 'no CreatedDate'
    when "at" is null then 'CreatedDate: ''' || left(v[4], 40) || if(zoneless(v[4]), ''' has no time zone', ''' is not a time')
    when field not in ('status', 'priority', 'owner', 'created', 'closed', 'isescalated', 'isclosed') then 'not for us: ' || left(field, 40)
    -- told by the status, or by the fields beside it
    when field in ('closed', 'isclosed') and not (field = 'isclosed' and lower(v[6]) = 'true') then 'not for us: ' || field
    when field = 'isescalated' and lower(v[3]) is distinct from 'true' then 'not for us: ' || field
  end as reject,
  v[1] as ticket_id,
  "at",
  case field when 'owner' then 'assigned' when 'isescalated' then 'escalation' when 'isclosed' then 'reopen' else field end as type,
  case field
    when 'status' then case
      when lower(v[3]) = 'new' then 'new'
      when lower(v[3]) = 'closed' then 'closed'
      when lower(v[3]) in ('solved', 'resolved') then 'solved'
      when lower(v[3]) like '%hold%' then 'hold'
      when lower(v[3]) like '%waiting%' or lower(v[3]) like '%pending%' or lower(v[3]) like '%customer%' then 'pending'
      when v[3] is not null then 'open'
    end
    when 'priority' then lower(left(v[3], 40))
    when 'owner' then left(v[3], 100)
  end as value,
  left(v[5], 100) as actor
from named
