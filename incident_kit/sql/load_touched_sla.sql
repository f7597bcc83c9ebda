-- one row per SLA instance that load $load_id brought events of
-- parameters: $load_id BIGINT
-- columns: ticket_id VARCHAR, metric VARCHAR, instance_no INTEGER
select distinct ticket_id, metric, instance_no from sla_events where load_id = $load_id
