-- one row per load: its format, and whether it answers questions
-- parameters: none
-- columns: load_id BIGINT, source VARCHAR, rows_read BIGINT, rows_loaded BIGINT, rows_duplicate BIGINT, rows_rejected BIGINT, answers BOOLEAN
select
  load_id, source, rows_read, rows_loaded, rows_duplicate, rows_rejected,
  load_id in (select load_id from answers) as answers
from loads
