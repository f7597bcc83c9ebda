-- one row per moment of a ticket that its statistics date
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, public BOOLEAN, seq BIGINT
-- ---
-- name: freshdesk_api_events
-- title: Freshdesk tickets of the API, the moments they date (created, answered, reopened, resolved, closed)
-- table: ticket_events
-- ---
-- The statistics keep the last time of each kind only: an earlier reopening or resolution is not told.
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.created_at', '$.stats.first_responded_at', '$.stats.reopened_at', '$.stats.resolved_at', '$.stats.closed_at', '$.stats.pending_since'
    ]) as v
  from raw
),
timed as (
  select line, nullif(trim(v[1]), '') as ticket_id, list_transform(v[2:7], lambda x: instant(x, 'UTC')) as t from extracted
),
told as (
  select
    line, ticket_id, t[1] as created_at,
    unnest([
      {'at': t[1], 'type': 'created', 'value': null::varchar, 'public': null::boolean, 'seq': 1},
      {'at': t[2], 'type': 'comment', 'value': null::varchar, 'public': true, 'seq': 2},
      {'at': t[6], 'type': 'status', 'value': 'pending', 'public': null::boolean, 'seq': 3},
      {'at': t[3], 'type': 'reopen', 'value': null::varchar, 'public': null::boolean, 'seq': 4},
      {'at': t[4], 'type': 'status', 'value': 'solved', 'public': null::boolean, 'seq': 5},
      {'at': t[5], 'type': 'status', 'value': 'closed', 'public': null::boolean, 'seq': 6}
    ]) as e
  from timed
  -- the ticket's own row is turned down otherwise
  where ticket_id is not null and t[1] is not null and coalesce(t[2] >= t[1], true) and coalesce(t[4] >= t[1], true)
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
