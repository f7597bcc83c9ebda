-- one row per suggestion: what was decided on it, and when
-- parameters: none
-- columns: request_id VARCHAR, ticket_id VARCHAR, shown_at TIMESTAMP WITH TIME ZONE, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, load_id BIGINT
select request_id, ticket_id, shown_at, "at", decision, overridden, load_id
from feedback
