-- one row per loaded row of a signal, in order of when it became known; a share as its counts, a value as one observation, in millionths
-- parameters: none
-- columns: name VARCHAR, known_us BIGINT, k BIGINT, n BIGINT, intent VARCHAR, target VARCHAR
select
  name,
  epoch_us(known_at) as known_us,
  round(1e6 * coalesce(value, numerator))::bigint as k,
  round(1e6 * case when value is null then denominator else 1 end)::bigint as n,
  intent,
  target
from signals
order by known_at, name, intent, target, k, n
