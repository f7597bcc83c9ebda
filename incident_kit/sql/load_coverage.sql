-- one row: how much of what the questions need is in the rows of the loads $load_ids
-- parameters: $load_ids BIGINT[]
-- columns: requests BIGINT, with_intent BIGINT, with_ticket BIGINT, with_conversation BIGINT, with_channel BIGINT, with_wait BIGINT, with_exact_wait BIGINT, with_status BIGINT, with_served BIGINT, with_requested BIGINT, tool_calls BIGINT, requests_with_calls BIGINT, requests_with_results BIGINT, feedback BIGINT, decided BIGINT, edited BIGINT, linked BIGINT, clocks BIGINT, with_target BIGINT
with touched as (
  select distinct request_id from request_facts where list_contains($load_ids, load_id)
),
mine as (
  select * from requests where list_contains($load_ids, load_id)
  union all
  select r.* from requests as r join touched as t on t.request_id = r.request_id where r.load_id is null
),
asked as (
  select
    count(*) as requests, count(intent) as with_intent, count(ticket_id) as with_ticket, count(conversation_id) as with_conversation,
    count(channel) as with_channel, count(wait_ms) as with_wait,
    count(wait_ms) filter (where not coalesce(wait_is_lower_bound, false)) as with_exact_wait,
    count(status) as with_status, count(served) as with_served, count(requested) as with_requested,
    coalesce(sum(tool_calls), 0)::bigint as tool_calls,
    count(*) filter (where tool_calls > 0) as requests_with_calls,
    count(*) filter (where tool_calls > 0 and tool_errors is not null) as requests_with_results
  from mine
),
decisions as (
  select
    count(*) as feedback, count(overridden) as decided, count(*) filter (where decision = 'edited') as edited,
    count(request_id) filter (where overridden is not null) as linked
  from feedback
  where list_contains($load_ids, load_id)
),
events as (
  select distinct ticket_id, metric, instance_no from sla_events where list_contains($load_ids, load_id)
),
clocks as (
  select target_s from sla where list_contains($load_ids, load_id)
  union all
  select s.target_s from sla as s
  join events as e on e.ticket_id = s.ticket_id and e.metric = s.metric and e.instance_no = s.instance_no
  where s.load_id is null
  union all
  -- a ticket's own history: a clock for each target that it names
  select try_cast(json_extract_string(if(json_valid(value), value, '{}'), '$.target_s') as bigint)
  from ticket_events
  where type = 'target' and list_contains($load_ids, load_id)
),
targets as (
  select count(*) as clocks, count(target_s) as with_target from clocks
)
select asked.*, decisions.*, targets.* from asked, decisions, targets
