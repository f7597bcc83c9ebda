-- one row per weekly opening of a schedule
-- parameters: none
-- columns: schedule_id VARCHAR, starts_minute INTEGER, ends_minute INTEGER, load_id BIGINT
select schedule_id, starts_minute, ends_minute, load_id
from schedule_windows
