-- one row per author of a help desk's events: what they are, not who
-- parameters: none
-- columns: actor_id VARCHAR, role VARCHAR, load_id BIGINT
select actor_id, role, load_id
from actors
