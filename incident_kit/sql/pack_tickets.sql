-- one row per ticket: its times and kind
-- parameters: none
-- columns: ticket_id VARCHAR, created_at TIMESTAMP WITH TIME ZONE, first_reply_at TIMESTAMP WITH TIME ZONE, solved_at TIMESTAMP WITH TIME ZONE, priority VARCHAR, channel VARCHAR, intent VARCHAR, reopens INTEGER, csat DOUBLE, assigned_at TIMESTAMP WITH TIME ZONE, status VARCHAR, load_id BIGINT
select
  ticket_id, created_at, first_reply_at, solved_at, priority, channel, intent, reopens, csat, assigned_at, status, load_id
from tickets
