-- one row per row of a signal
-- parameters: none
-- columns: name VARCHAR, known_at TIMESTAMP WITH TIME ZONE, numerator DOUBLE, denominator DOUBLE, value DOUBLE, request_id VARCHAR, ticket_id VARCHAR, intent VARCHAR, target VARCHAR, load_id BIGINT
select name, known_at, numerator, denominator, value, request_id, ticket_id, intent, target, load_id
from signals
