-- one row per promise of a ticket: first response, resolution
-- parameters: $zone VARCHAR
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, recomputed_breached BOOLEAN, source VARCHAR
-- ---
-- name: freshdesk_expected_sla
-- title: a support report with the expected times, its SLA labels
-- table: sla
-- answers:
--   sla: "yes: when each response and resolution was expected and came; labels that contradict the times are kept and can be told"
-- ---
-- breached is the label, recomputed_breached what the times say: where they differ the label is wrong, or the times are.
-- The label of an unanswered or unresolved ticket is not taken: in such reports nearly all of them read as violated.
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
      '$."Status"'
    ]) as w
  from raw
),
-- the first spelling that holds something
picked as materialized (
  select
    line,
    list_transform(
      [[1, 3], [4, 6], [7, 9], [10, 12], [13, 15], [16, 18], [19, 21], [22, 24], [25, 26], [27, 27]],
      lambda span: list_filter(list_transform(w[span[1]:span[2]], lambda x: nullif(trim(x), '')), lambda x: x is not null)[1]
    ) as v
  from extracted
),
timed as (
  select
    line, v[1] as ticket_id, coalesce(lower(v[10]) in ('resolved', 'closed'), false) as says_ended,
    list_transform(v[2:7], lambda x: instant(x, $zone)) as t,
    list_transform(v[8:9], lambda x: case lower(x) when 'within sla' then false when 'sla violated' then true end) as b
  from picked
),
told as (
  select
    line, ticket_id, t[1] as started_at,
    says_ended or coalesce(t[3], t[4]) is not null as ended,
    unnest([
      {'metric': 'first_reply', 'due_at': t[5], 'stopped_at': t[2], 'label': b[1]},
      {'metric': 'resolution', 'due_at': t[6], 'stopped_at': coalesce(t[3], t[4]), 'label': b[2]}
    ]) as p
  from timed
  -- the ticket's own row is turned down then
  where ticket_id is not null and t[1] is not null and coalesce(t[2] >= t[1], true) and coalesce(t[3] >= coalesce(t[2], t[1]), true)
),
-- of what ended without the time of its end there is only the label
dated as (
  select *, p.stopped_at is not null or ended as settled, if(ended and p.stopped_at is null, null, p.due_at) as due_at from told
)
select
  line,
  null::varchar as reject,
  ticket_id,
  p.metric as metric,
  1::integer as instance_no,
  case when due_at > started_at then round((epoch_us(due_at) - epoch_us(started_at)) / 1e6)::bigint end as target_s,
  case when due_at > started_at then 'calendar' end as clock,
  started_at,
  due_at,
  p.stopped_at as stopped_at,
  case when settled then p.label end as breached,
  case when not settled then 'active' when p.label then 'breached' when not p.label then 'met' end as outcome,
  case when due_at is not null then 'instance' else 'label' end as evidence_level,
  p.stopped_at > due_at as recomputed_breached,
  'freshdesk' as source
from dated
where p.due_at is not null or p.label is not null
