-- one row per record, none of which is wanted
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, schedule_id VARCHAR
-- ---
-- name: zendesk_daylight_time
-- title: Zendesk daylight saving times in a warehouse (not used, a zone's name says them)
-- table: schedules
-- one_to_one: true
-- detect: [time_zone, daylight_start_utc, daylight_end_utc, daylight_offset]
-- skips: every row
-- ---
select line, 'not for us: a zone''s name says its offsets' as reject, json_extract_string(record, '$.time_zone') as schedule_id
from raw
