-- one row: whether any call in the log says when its first token came
-- parameters: none
-- columns: streamed BOOLEAN
select exists (select 1 from attempts where first_token_at is not null) as streamed
