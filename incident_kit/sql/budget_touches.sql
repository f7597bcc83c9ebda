-- one row per request that names a ticket, at its arrival, the tickets numbered
-- parameters: none
-- columns: request_id VARCHAR, at_us BIGINT, ticket BIGINT
select request_id, epoch_us(arrived_at) as at_us, dense_rank() over (order by ticket_id) as ticket
from requests
where ticket_id is not null
