-- one row per event of a ticket that a clock or a condition reads
-- parameters: none
-- columns: ticket_id VARCHAR, at TIMESTAMP WITH TIME ZONE, type VARCHAR, value VARCHAR, actor_id VARCHAR, public BOOLEAN, seq BIGINT, load_id BIGINT
select
  ticket_id, "at", type,
  -- of a target only what a clock reads of it
  case
    when type = 'target' and json_valid(value)
      then json_object('metric', value ->> '$.metric', 'target_s', value ->> '$.target_s', 'clock', value ->> '$.clock')::varchar
    when type <> 'target' then value
  end as value,
  actor as actor_id, public, seq, load_id
from ticket_events
where type in (
  'created', 'status', 'priority', 'comment', 'assigned', 'schedule', 'policy', 'policy_id', 'target', 'reopen', 'escalation',
  'merged', 'deleted', 'spam', 'suspended'
)
