-- one row per promise of a ticket: first response, resolution, every response
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, recomputed_breached BOOLEAN, source VARCHAR
-- ---
-- name: freshdesk_csv_sla
-- title: Freshdesk or Freshservice ticket export, its SLA statuses
-- table: sla
-- answers:
--   sla: "lower bound: the export has the time a resolution is due, of responses only whether they were in time"
-- hints:
--   sla: "pull the tickets with the API (include=stats): it has the time a response is due"
-- ---
-- 'Initial response time' is a time of day, the columns in hrs are durations in business hours. What the label of an
-- unanswered or unresolved ticket says is not taken: it is set long before the time is over.
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$."Ticket ID"', '$."TicketID"', '$."Ticket Id"',
      '$."Created time"', '$."Created Time"', '$."CreatedTime"',
      '$."Initial response time"', '$."Initial Response Time"', '$."InitialResponseTime"',
      '$."Resolved time"', '$."Resolved Time"', '$."ResolvedTime"',
      '$."Closed time"', '$."Closed Time"', '$."ClosedTime"',
      '$."Due by Time"', '$."Due By Time"', '$."DueByTime"',
      '$."First response time (in hrs)"', '$."First Response Time (in Hrs)"', '$."FirstResponseTime(inHrs)"',
      '$."Resolution time (in hrs)"', '$."Resolution Time (in Hrs)"', '$."ResolutionTime(inHrs)"',
      '$."First response status"', '$."First Response Status"', '$."FirstResponseStatus"',
      '$."Resolution status"', '$."Resolution Status"', '$."ResolutionStatus"',
      '$."Every response status"', '$."Every Response Status"', '$."EveryResponseStatus"',
      '$."Status"'
    ]) as w
  from raw
),
-- the first spelling that holds something
picked as materialized (
  select
    line,
    list_transform(
      [[1, 3], [4, 6], [7, 9], [10, 12], [13, 15], [16, 18], [19, 21], [22, 24], [25, 27], [28, 30], [31, 33], [34, 34]],
      lambda span: list_filter(list_transform(w[span[1]:span[2]], lambda x: nullif(trim(x), '')), lambda x: x is not null)[1]
    ) as v
  from extracted
),
timed as (
  select
    line, v[1] as ticket_id, v, lower(v[12]) in ('resolved', 'closed') as says_ended,
    list_transform(v[2:6], lambda x: instant(x, $zone)) as t,
    list_transform(v[9:11], lambda x: case lower(x) when 'within sla' then false when 'sla violated' then true end) as b
  from picked
),
told as (
  select
    line, ticket_id, t[1] as started_at,
    coalesce(t[3], t[4]) is not null or coalesce(says_ended, false) as ended,
    unnest([
      {'metric': 'first_reply', 'due_at': null::timestamptz, 'stopped_at': t[2], 'hours': v[7], 'label': b[1], 'known': v[9] is not null},
      {'metric': 'resolution', 'due_at': t[5], 'stopped_at': coalesce(t[3], t[4]), 'hours': v[8], 'label': b[2], 'known': v[10] is not null or t[5] is not null},
      {'metric': 'next_reply', 'due_at': null::timestamptz, 'stopped_at': null::timestamptz, 'hours': null::varchar, 'label': b[3], 'known': v[11] is not null}
    ]) as p
  from timed
  -- the ticket's own row is turned down otherwise
  where ticket_id is not null and t[1] is not null and coalesce(t[2] >= t[1], true) and coalesce(t[3] >= t[1], true)
),
ended as (
  select
    *,
    -- of all later responses there is one label: it is settled with the ticket
    p.stopped_at is not null or ended as settled,
    -- without the time it ended there is only the label
    if(ended and p.stopped_at is null, null, p.due_at) as due_at
  from told
  where p.known
)
select
  line,
  null::varchar as reject,
  ticket_id,
  p.metric as metric,
  1::integer as instance_no,
  case when p.metric <> 'next_reply' then started_at end as started_at,
  due_at,
  p.stopped_at as stopped_at,
  clock_seconds(p.hours) as elapsed_s,
  case when settled then p.label end as breached,
  case when not settled then 'active' when p.label then 'breached' when not p.label then 'met' end as outcome,
  case when due_at is not null then 'instance' else 'label' end as evidence_level,
  p.stopped_at > due_at as recomputed_breached,
  'freshdesk' as source
from ended
