-- one row per case
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, status VARCHAR
-- ---
-- name: salesforce_cases
-- title: Salesforce Case (data loader CSV, or a query's JSON; subject and description are not read)
-- table: tickets
-- one_to_one: true
-- detect: [Id, CreatedDate, Status, IsClosed]
-- ---
-- The ticket is the case's Id, as in CaseMilestone and CaseHistory; CaseNumber is for people.
with extracted as materialized (
  select
    line,
    list_transform(
      json_extract_string(record, ['$.Id', '$.CreatedDate', '$.ClosedDate', '$.Status', '$.IsClosed', '$.Priority', '$.Origin']),
      lambda x: nullif(trim(x), '')
    ) as v
  from raw
),
named as (
  select
    line, v, instant(v[2], $zone) as created_at, instant(v[3], $zone) as closed_at,
    list_filter([2, 3], lambda place: v[place] is not null and instant(v[place], $zone) is null)[1] as bad,
    lower(v[5]) in ('true', '1') as closed
  from extracted
)
select
  line,
  case
    when v[1] is null then 'no Id'
    when bad is not null then ['CreatedDate', 'ClosedDate'][bad - 1] || ': ''' || left(v[bad], 40)
      || if(zoneless(v[bad]), ''' has no time zone', ''' is not a time')
    when created_at is null then 'no CreatedDate'
    when closed_at < created_at then 'ClosedDate is before CreatedDate'
  end as reject,
  v[1] as ticket_id,
  created_at,
  -- a case that was opened again keeps no date of its closing that counts
  case when closed then closed_at end as solved_at,
  lower(left(v[6], 40)) as priority,
  lower(left(v[7], 40)) as channel,
  case
    when closed then 'closed'
    when lower(v[4]) = 'new' then 'new'
    when lower(v[4]) in ('solved', 'resolved') then 'solved'
    when lower(v[4]) like '%hold%' then 'hold'
    when lower(v[4]) like '%waiting%' or lower(v[4]) like '%pending%' or lower(v[4]) like '%customer%' then 'pending'
    when v[4] is not null then 'open'
  end as status
from named
