-- one row per logged call of a target that has several deployments: to which of them it went
-- parameters: none
-- columns: request_id VARCHAR, target VARCHAR, number BIGINT, deployment VARCHAR
with several as (
  select target
  from attempts
  where kind = 'call'
  group by target
  having count(distinct deployment) > 1
),
numbered as (
  select request_id, target, row_number() over (partition by request_id, target order by seq) - 1 as number, deployment
  from attempts
  where kind in ('call', 'cache_hit') and target in (select target from several)
)
select request_id, target, number, deployment
from numbered
where deployment is not null
