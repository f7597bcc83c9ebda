-- one row per target that a ticket's own history tells, from one help desk: as it was written there, else by its policy and priority then
-- parameters: $desk VARCHAR
-- columns: ticket_id VARCHAR, metric VARCHAR, at TIMESTAMP WITH TIME ZONE, seq BIGINT, target_s BIGINT, clock VARCHAR, policy VARCHAR, is_derived BOOLEAN
with mine as (
  select e.*
  from ticket_events as e
  -- (DuckDB 2.0.0 cannot bind a nullif of a joined column in a filter)
  left join (select load_id, split_part(source, '_', 1) as desk from loads where source <> 'canonical') as l on l.load_id = e.load_id
  where e.type in ('target', 'policy', 'policy_id', 'priority') and coalesce(l.desk, '') = $desk
),
parsed as (
  select
    ticket_id, "at", seq, type,
    if(type = 'policy', value, null) as policy,
    case when type = 'target' then json_extract_string(if(json_valid(value), value, '{}'), ['$.metric', '$.target_s', '$.clock']) end as v
  from mine
  where type in ('target', 'policy')
),
named as (
  select
    *,
    -- the policy is named in the same change as its targets, before or after them
    last_value(policy ignore nulls) over (
      partition by ticket_id order by "at" range between unbounded preceding and current row
    ) as in_force
  from parsed
),
written as (
  select
    ticket_id, v[1] as metric, "at", seq, try_cast(v[2] as bigint) as target_s, v[3] as clock, in_force as policy, false as is_derived
  from named
  where type = 'target' and v[1] is not null and try_cast(v[2] as bigint) is not null
),
-- policy and priority as they were after each change of either
changes as (
  select distinct on (ticket_id, "at")
    ticket_id, "at",
    last_value(if(type = 'policy_id', value, null) ignore nulls) over so_far as policy_id,
    last_value(if(type = 'priority', value, null) ignore nulls) over so_far as priority
  from mine
  where type in ('policy_id', 'priority')
  window so_far as (partition by ticket_id order by "at" range between unbounded preceding and current row)
),
promised as (
  select
    c.ticket_id, t.metric, c."at", null::bigint as seq,
    arg_max(t.target_s, coalesce(t.from_at, '-infinity'::timestamptz)) as target_s,
    arg_max(t.clock, coalesce(t.from_at, '-infinity'::timestamptz)) as clock,
    c.policy_id as policy, true as is_derived
  from changes as c
  join sla_targets as t on t.policy_id = c.policy_id and (t.priority = c.priority or t.priority is null)
  where t.from_at is null or t.from_at <= c."at"
  group by all
)
select * from written
union all
select p.* from promised as p anti join (select distinct ticket_id from written) as w using (ticket_id)
