-- one row per ticket
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, source VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, status VARCHAR, group_name VARCHAR
-- ---
-- name: freshdesk_csv
-- title: Freshdesk or Freshservice ticket export (CSV; times in the account's or the user's own zone)
-- table: ticket_facts
-- one_to_one: true
-- detect: ["Ticket ID|TicketID|Ticket Id", "Created time|Created Time|CreatedTime", "Resolved time|Resolved Time|ResolvedTime", "Resolution status|Resolution Status|ResolutionStatus", "First response status|First Response Status|FirstResponseStatus"]
-- companions: [freshdesk_csv_sla, freshdesk_csv_events]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$."Ticket ID"', '$."TicketID"', '$."Ticket Id"',
      '$."Created time"', '$."Created Time"', '$."CreatedTime"',
      '$."Initial response time"', '$."Initial Response Time"', '$."InitialResponseTime"',
      '$."Resolved time"', '$."Resolved Time"', '$."ResolvedTime"',
      '$."Closed time"', '$."Closed Time"', '$."ClosedTime"',
      '$."Status"',
      '$."Priority"',
      '$."Source"',
      '$."Group"'
    ]) as w
  from raw
),
-- the first spelling that holds something
picked as materialized (
  select
    line,
    list_transform(
      [[1, 3], [4, 6], [7, 9], [10, 12], [13, 15], [16, 16], [17, 17], [18, 18], [19, 19]],
      lambda span: list_filter(list_transform(w[span[1]:span[2]], lambda x: nullif(trim(x), '')), lambda x: x is not null)[1]
    ) as v
  from extracted
),
timed as (
  select *, list_transform(v[2:5], lambda x: instant(x, $zone)) as t from picked
),
named as (
  select
    line, v, t, v[1] as ticket_id,
    freshdesk_status(v[6]) as status,
    list_filter(range(1, 5), lambda i: v[i + 1] is not null and t[i] is null)[1] as bad
  from timed
)
select
  line,
  case
    when ticket_id is null then 'no Ticket ID'
    when bad is not null then ['Created time', 'Initial response time', 'Resolved time', 'Closed time'][bad] || ': ''' || left(v[bad + 1], 40)
      || if(zoneless(v[bad + 1]), ''' has no time zone', ''' is not a time')
    when t[1] is null then 'no Created time'
    when t[2] < t[1] then 'Initial response time is before Created time'
    when t[3] < t[1] then 'Resolved time is before Created time'
  end as reject,
  ticket_id,
  'freshdesk_csv' as source,
  t[1] as created_at,
  t[2] as first_reply_at,
  coalesce(t[3], t[4]) as solved_at,
  lower(left(v[7], 40)) as priority,
  lower(left(v[8], 40)) as channel,
  status,
  left(v[9], 200) as group_name
from named
