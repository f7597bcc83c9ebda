-- one row per schedule of opening hours
-- parameters: none
-- columns: schedule_id VARCHAR, zone VARCHAR, is_default BOOLEAN, load_id BIGINT
select schedule_id, zone, is_default, load_id
from schedules
