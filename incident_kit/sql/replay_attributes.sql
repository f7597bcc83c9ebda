-- one row per request: what was known of it at its arrival, besides its intent
-- parameters: none
-- columns: row BIGINT, id_hash UBIGINT, request_id VARCHAR, channel VARCHAR, conversation_id VARCHAR, ticket_id VARCHAR, requested VARCHAR, stream BOOLEAN, tools_offered INTEGER, prompt_tokens BIGINT, labels VARCHAR
select
  rowid as row, hash(request_id) as id_hash, request_id, channel, conversation_id, ticket_id, requested, stream, tools_offered,
  prompt_tokens, labels::varchar as labels
from requests
