-- one row per SLA instance in `touched` to which a policy was applied, as far as its events alone say
-- parameters: none
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER, policy VARCHAR, target_s BIGINT, clock VARCHAR, started_at TIMESTAMP WITH TIME ZONE, due_at TIMESTAMP WITH TIME ZONE, stopped_at TIMESTAMP WITH TIME ZONE, paused_s BIGINT, elapsed_s BIGINT, breached BOOLEAN, outcome VARCHAR, evidence_level VARCHAR, recomputed_breached BOOLEAN, source VARCHAR, load_id BIGINT
with events as (
  select
    e.*,
    nullif(split_part(l.source, '_', 1), 'canonical') as source,
    lead(case when e.type in ('start', 'resume', 'stop', 'cancel') then e."at" end ignore nulls) over instance as goes_on_at
  from sla_events as e
  left join loads as l on l.load_id = e.load_id
  join touched as t on t.ticket_id = e.ticket_id and t.metric = e.metric and t.instance_no = e.instance_no
  window instance as (partition by e.ticket_id, e.metric, e.instance_no order by e."at", e.seq)
),
ends as (
  select
    *,
    max("at") filter (where type = 'stop') over instance as last_stop,
    max("at") filter (where type in ('start', 'resume')) over instance as last_run
  from events
  window instance as (partition by ticket_id, metric, instance_no)
),
rolled as (
  select
    ticket_id, metric, instance_no,
    arg_max(policy, ("at", seq)) filter (where type in ('apply', 'target_change')) as policy,
    arg_max(target_s, ("at", seq)) filter (where type in ('apply', 'target_change')) as target_s,
    arg_max(clock, ("at", seq)) filter (where type in ('apply', 'target_change')) as clock,
    min("at") filter (where type = 'start') as started_at,
    -- a stop after which the clock ran again is not the end
    max(last_stop) filter (where last_run is null or last_stop >= last_run) as stopped_at,
    coalesce(sum(epoch_us(goes_on_at) - epoch_us("at")) filter (where type = 'pause') // 1000000, 0)::bigint as paused_s,
    count(*) filter (where type = 'pause') as pauses,
    arg_max(elapsed_s, ("at", seq)) filter (where type = 'status') as status_calendar_s,
    arg_max(elapsed_business_s, ("at", seq)) filter (where type = 'status') as status_business_s,
    min("at") filter (where type = 'breach') as breached_at,
    bool_or(type = 'cancel') as cancelled,
    max(source) as source
  from ends
  where instance_no > 0
  group by ticket_id, metric, instance_no
  having bool_or(type in ('apply', 'target_change', 'breach'))
),
judged as (
  -- a breach foretold for a time after the stop did not happen
  select *, breached_at is not null and breached_at <= coalesce(stopped_at, 'infinity'::timestamptz) as breached
  from rolled
)
select
  ticket_id, metric, instance_no, policy, target_s, clock, started_at,
  case
    when breached then breached_at
    when clock = 'calendar' and pauses = 0 then started_at + to_seconds(target_s)
  end as due_at,
  stopped_at, paused_s,
  case
    when clock = 'business' then status_business_s
    when status_calendar_s is not null then status_calendar_s
    when clock = 'calendar' then (epoch_us(stopped_at) - epoch_us(started_at)) // 1000000 - paused_s
  end::bigint as elapsed_s,
  case when breached or stopped_at is not null then breached end as breached,
  case when cancelled then 'cancelled' when breached then 'breached' when stopped_at is not null then 'met' else 'active' end as outcome,
  'event' as evidence_level,
  null::boolean as recomputed_breached,
  source,
  null::bigint as load_id
from judged
