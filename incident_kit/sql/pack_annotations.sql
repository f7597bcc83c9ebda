-- one row per phase or event on the timeline, without its text and link
-- parameters: none
-- columns: at TIMESTAMP WITH TIME ZONE, until TIMESTAMP WITH TIME ZONE, kind VARCHAR
select "at", until, kind
from annotations
