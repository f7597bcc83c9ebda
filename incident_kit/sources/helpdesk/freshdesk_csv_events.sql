-- one row per moment of a ticket that the export dates
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, public BOOLEAN, seq BIGINT
-- ---
-- name: freshdesk_csv_events
-- title: Freshdesk or Freshservice ticket export, the moments it dates (created, first response, resolved, closed)
-- table: ticket_events
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$."Ticket ID"', '$."TicketID"', '$."Ticket Id"',
      '$."Created time"', '$."Created Time"', '$."CreatedTime"',
      '$."Initial response time"', '$."Initial Response Time"', '$."InitialResponseTime"',
      '$."Resolved time"', '$."Resolved Time"', '$."ResolvedTime"',
      '$."Closed time"', '$."Closed Time"', '$."ClosedTime"'
    ]) as w
  from raw
),
-- the first spelling that holds something
picked as materialized (
  select
    line,
    list_transform(
      [[1, 3], [4, 6], [7, 9], [10, 12], [13, 15]],
      lambda span: list_filter(list_transform(w[span[1]:span[2]], lambda x: nullif(trim(x), '')), lambda x: x is not null)[1]
    ) as v
  from extracted
),
timed as (
  select line, v[1] as ticket_id, list_transform(v[2:5], lambda x: instant(x, $zone)) as t from picked
),
told as (
  select
    line, ticket_id, t[1] as created_at,
    unnest([
      {'at': t[1], 'type': 'created', 'value': null::varchar, 'public': null::boolean, 'seq': 1},
      {'at': t[2], 'type': 'comment', 'value': null::varchar, 'public': true, 'seq': 2},
      {'at': t[3], 'type': 'status', 'value': 'solved', 'public': null::boolean, 'seq': 3},
      {'at': t[4], 'type': 'status', 'value': 'closed', 'public': null::boolean, 'seq': 4}
    ]) as e
  from timed
  -- the ticket's own row is turned down otherwise
  where ticket_id is not null and t[1] is not null and coalesce(t[2] >= t[1], true) and coalesce(t[3] >= t[1], true)
)
select
  line,
  null::varchar as reject,
  ticket_id,
  e."at" as "at",
  e.type as type,
  e.value as value,
  e.public as public,
  e.seq::bigint as seq
from told
where e."at" >= created_at
