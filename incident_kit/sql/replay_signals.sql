-- one row per row of the signals table that says something, in order of time; a value counts as a numerator over 1
-- parameters: none
-- columns: name VARCHAR, known_us BIGINT, numerator DOUBLE, denominator DOUBLE, intent VARCHAR, target VARCHAR, request_id VARCHAR, ticket_id VARCHAR
select
  name, epoch_us(known_at) as known_us, coalesce(numerator, value) as numerator,
  case when numerator is null then 1 else coalesce(denominator, 1) end::double as denominator, intent, target, request_id,
  ticket_id
from signals
where coalesce(numerator, value) is not null
order by known_us, name, numerator, denominator, intent, target, request_id, ticket_id
