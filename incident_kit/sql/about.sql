-- one row: the span and size of the log
-- parameters: none
-- columns: first TIMESTAMP WITH TIME ZONE, last TIMESTAMP WITH TIME ZONE, requests BIGINT, without_intent DOUBLE
select
  min(arrived_at) as first,
  max(arrived_at) as last,
  count(*) as requests,
  count(*) filter (where intent is null) / nullif(count(*), 0) as without_intent
from requests
