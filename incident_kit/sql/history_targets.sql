-- one row per target that a ticket's own history names, in order
-- parameters: $source VARCHAR
-- columns: ticket_id VARCHAR, metric VARCHAR, from_us BIGINT, target_s BIGINT, clock VARCHAR, policy VARCHAR
with told as (
  select e.*
  from ticket_events as e
  left join loads as l on l.load_id = e.load_id
  where e.type in ('target', 'policy') and coalesce(nullif(split_part(l.source, '_', 1), 'canonical'), '') = $source
),
parsed as (
  select
    ticket_id, "at", seq, type,
    if(type = 'policy', value, null) as policy,
    case when type = 'target' then json_extract_string(value, ['$.metric', '$.target_s', '$.clock']) end as v
  from told
),
named as (
  select
    *,
    -- the policy is named in the same change as its targets, before or after them
    last_value(policy ignore nulls) over (
      partition by ticket_id order by "at" range between unbounded preceding and current row
    ) as in_force
  from parsed
)
select
  ticket_id, v[1] as metric, epoch_us("at") as from_us, try_cast(v[2] as bigint) as target_s, v[3] as clock, in_force as policy
from named
where type = 'target' and v[1] is not null and try_cast(v[2] as bigint) is not null
order by ticket_id, metric, "at", seq nulls last, target_s
