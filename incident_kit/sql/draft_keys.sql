-- one row per request and key that a route can match on besides its intent: what it asked for, and its labels that are text
-- parameters: none
-- columns: request_id VARCHAR, key VARCHAR, value VARCHAR
with labelled as (
  select request_id, labels, unnest(json_keys(labels)) as name
  from requests
  where json_type(labels) = 'OBJECT'
),
named as (
  select request_id, 'labels.' || name as key, json_value(labels, '$."' || name || '"') as given
  from labelled
  where not contains(name, '"') and not contains(name, '.')
)
select request_id, 'requested' as key, requested as value from requests where requested is not null
union all
select request_id, key, given ->> '$' as value from named where json_type(given) = 'VARCHAR'
