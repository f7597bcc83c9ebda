-- one row: the last instant that a help desk's records or the requests name
-- parameters: none
-- columns: last TIMESTAMP WITH TIME ZONE
with named as (
  select "at" from ticket_events
  union all
  -- a breach may be foretold
  select "at" from sla_events where type <> 'breach'
  union all
  select unnest([started_at, stopped_at]) from sla
  union all
  select arrived_at from requests
)
select max("at") as last from named
