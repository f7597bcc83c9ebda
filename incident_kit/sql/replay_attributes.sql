-- one row per request: what was known of it at its arrival, besides its intent
-- parameters: none
-- columns: request_id VARCHAR, channel VARCHAR, conversation_id VARCHAR, ticket_id VARCHAR, requested VARCHAR, stream BOOLEAN, tools_offered INTEGER, prompt_tokens BIGINT, labels VARCHAR
select request_id, channel, conversation_id, ticket_id, requested, stream, tools_offered, prompt_tokens, labels::varchar as labels
from requests
