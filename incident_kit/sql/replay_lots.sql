-- one row per request of a pack and thing that its original id decides: that hash of it
-- parameters: none
-- columns: request_id VARCHAR, what VARCHAR, word UBIGINT
select request_id, what, word
from lots
order by what, request_id
