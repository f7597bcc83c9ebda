-- one row per request, with what it was and what answered (NULL: nothing did)
-- parameters: none
-- columns: request_id VARCHAR, intent VARCHAR, target VARCHAR, arrived_at TIMESTAMP WITH TIME ZONE, answered_at TIMESTAMP WITH TIME ZONE
select request_id, intent, served as target, arrived_at, arrived_at + to_milliseconds(coalesce(wait_ms, 0)) as answered_at
from requests
