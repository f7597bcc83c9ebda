-- one row per record, none of which is wanted
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, schedule_id VARCHAR
-- ---
-- name: zendesk_time_zone
-- title: Zendesk offsets of time zones in a warehouse (not used, a zone's name says them)
-- table: schedules
-- one_to_one: true
-- detect: [time_zone, standard_offset]
-- skips: every row
-- ---
select line, 'not for us: a zone''s name says its offsets' as reject, json_extract_string(record, '$.time_zone') as schedule_id
from raw
