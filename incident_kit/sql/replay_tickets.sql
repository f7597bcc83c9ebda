-- one row per request that touches a ticket
-- parameters: none
-- columns: row BIGINT, id_hash UBIGINT, ticket_id VARCHAR
select rowid as row, hash(request_id) as id_hash, ticket_id
from requests
where ticket_id is not null
