-- one row per ticket
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, status VARCHAR, group_name VARCHAR
-- ---
-- name: freshdesk_expected
-- title: a support report with the expected times beside the labels (CSV; Expected SLA to resolve, SLA For Resolution, ...)
-- table: tickets
-- one_to_one: true
-- detect: ["Ticket ID|TicketID|Ticket Id", "Created time|Created Time|CreatedTime", "Expected SLA to resolve|Expected SLA To Resolve|ExpectedSLAToResolve", "Expected SLA to first response|Expected SLA To First Response|ExpectedSLAToFirstResponse", "SLA For Resolution|SLAForResolution"]
-- companions: [freshdesk_expected_sla]
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$."Ticket ID"', '$."TicketID"', '$."Ticket Id"',
      '$."Created time"', '$."Created Time"', '$."CreatedTime"',
      '$."First response time"', '$."First Response Time"', '$."FirstResponseTime"',
      '$."Resolution time"', '$."Resolution Time"', '$."ResolutionTime"',
      '$."Close time"', '$."Close Time"', '$."CloseTime"',
      '$."Expected SLA to first response"', '$."Expected SLA To First Response"', '$."ExpectedSLAToFirstResponse"',
      '$."Expected SLA to resolve"', '$."Expected SLA To Resolve"', '$."ExpectedSLAToResolve"',
      '$."SLA For first response"', '$."SLA For First Response"', '$."SLAForFirstResponse"',
      '$."SLA For Resolution"', '$."SLAForResolution"',
      '$."Status"',
      '$."Priority"',
      '$."Source"',
      '$."Agent Group"', '$."AgentGroup"'
    ]) as w
  from raw
),
-- the first spelling that holds something
picked as materialized (
  select
    line,
    list_transform(
      [[1, 3], [4, 6], [7, 9], [10, 12], [13, 15], [16, 18], [19, 21], [22, 24], [25, 26], [27, 27], [28, 28], [29, 29], [30, 31]],
      lambda span: list_filter(list_transform(w[span[1]:span[2]], lambda x: nullif(trim(x), '')), lambda x: x is not null)[1]
    ) as v
  from extracted
),
timed as (
  select *, list_transform(v[2:7], lambda x: instant(x, $zone)) as t from picked
),
named as (
  select
    line, v, t, v[1] as ticket_id,
    freshdesk_status(v[10]) as status,
    list_filter(range(1, 7), lambda i: v[i + 1] is not null and t[i] is null)[1] as bad
  from timed
)
select
  line,
  case
    when ticket_id is null then 'no Ticket ID'
    when bad is not null then ['Created time', 'First response time', 'Resolution time', 'Close time', 'Expected SLA to first response', 'Expected SLA to resolve'][bad] || ': ''' || left(v[bad + 1], 40)
      || if(zoneless(v[bad + 1]), ''' has no time zone', ''' is not a time')
    when t[1] is null then 'no Created time'
    when t[2] < t[1] then 'First response time is before Created time'
    when t[3] < t[1] then 'Resolution time is before Created time'
    when t[3] < t[2] then 'Resolution time is before First response time'
  end as reject,
  ticket_id,
  t[1] as created_at,
  t[2] as first_reply_at,
  coalesce(t[3], t[4]) as solved_at,
  lower(left(v[11], 40)) as priority,
  lower(left(v[12], 40)) as channel,
  status,
  left(v[13], 200) as group_name
from named
