-- one row per holiday of a schedule, without its name
-- parameters: none
-- columns: schedule_id VARCHAR, starts_on DATE, ends_on DATE, load_id BIGINT
select schedule_id, starts_on, ends_on, load_id
from schedule_holidays
