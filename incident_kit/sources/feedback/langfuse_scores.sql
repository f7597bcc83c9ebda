-- one row per score; those that say nothing of what a person did with an answer say so
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, feedback_id VARCHAR, suggestion_id VARCHAR, request_id VARCHAR, at TIMESTAMP WITH TIME ZONE, decision VARCHAR, overridden BOOLEAN, edit_ratio DOUBLE, source VARCHAR, decision_rule VARCHAR
-- ---
-- name: langfuse_scores
-- title: Langfuse scores (blob storage export or API)
-- table: feedback
-- zone: UTC
-- skips: scores of evaluators, and scores whose name says nothing of what a person did with the answer
-- detect: [id, trace_id|traceId, name, value, source, timestamp, data_type|dataType]
-- answers:
--   overrides: "lower bound: scores named accepted, approved, overridden, rejected, edited, thumbs, helpful or the like, or whose text is such a decision; a score is about its trace's last answer"
-- ---
with extracted as (
  select
    line,
    json_extract_string(record, [
      '$.id', '$.trace_id', '$.traceId', '$.observation_id', '$.observationId', '$.name', '$.value', '$.string_value', '$.stringValue',
      '$.source', '$.data_type', '$.dataType', '$.timestamp', '$.updated_at', '$.updatedAt'
    ]) as v
  from raw
),
named as (
  select
    line,
    nullif(v[1], '') as id,
    coalesce(nullif(v[2], ''), nullif(v[3], '')) as trace_id,
    coalesce(nullif(v[4], ''), nullif(v[5], '')) as observation_id,
    v[6] as name,
    case lower(v[7]) when 'true' then 1 when 'false' then 0 else case when isfinite(try_cast(v[7] as double)) then try_cast(v[7] as double) end end as value,
    lower(trim(coalesce(nullif(v[8], ''), nullif(v[9], ''), v[7]))) as said,
    upper(v[10]) as source,
    upper(coalesce(nullif(v[11], ''), v[12])) as data_type,
    instant(v[13], 'UTC') as "at",
    instant(coalesce(nullif(v[14], ''), v[15]), 'UTC') as updated_at
  from extracted
),
worded as (
  select
    *,
    coalesce(updated_at < max(updated_at) over (partition by id), false) as outdated,
    case
      when regexp_matches(name, '(?i)edit.?(ratio|distance|share|rate)') then 'edit share'
      when regexp_matches(name, '(?i)overrid|overrod|overrul') then 'overridden'
      when regexp_matches(name, '(?i)reject|dismiss|discard|thumbs?.?down|dislike|unhelpful|not.?helpful') then 'rejected'
      when regexp_matches(name, '(?i)edited|modified|rewritten|corrected') then 'edited'
      when regexp_matches(name, '(?i)accept|approv|thumb|helpful|user.?feedback|\blike') then 'accepted'
    end as says
  from named
),
decided as (
  select
    *,
    case
      when data_type in ('CATEGORICAL', 'TEXT') then
        case
          when said in ('accepted', 'edited', 'rejected', 'ignored', 'unknown') then said
          when said in ('dismissed', 'discarded', 'overridden') then 'rejected'
        end
      else judged(says, value)
    end as decision
  from worded
)
select
  line,
  case
    when id is null then 'no id'
    when "at" is null then 'timestamp is not a time'
    when not in_our_time("at") then 'timestamp is not in our time'
    when outdated then 'not for us: an older version of a score that is here in a newer one'
    when source = 'EVAL' then 'not for us: a score by an evaluator is no decision of a person'
    when trace_id is null then 'not for us: the score is of a session or an experiment, not of an answer'
    when decision is null and says is not null and data_type not in ('CATEGORICAL', 'TEXT')
      then 'value: ''' || left(coalesce(said, ''), 40) || ''' of ''' || left(name, 40) || ''' is no yes or no'
    when decision is null then 'not for us: the score ''' || left(coalesce(name, ''), 40) || ''' does not say what a person did with the answer'
  end as reject,
  id as feedback_id,
  coalesce(observation_id, trace_id) as suggestion_id,
  trace_id as request_id,
  "at",
  decision,
  case when decision in ('edited', 'rejected') then true when decision = 'accepted' then false end as overridden,
  case when says = 'edit share' and data_type not in ('CATEGORICAL', 'TEXT') then value end as edit_ratio,
  'langfuse' as source,
  left(name, 60) || '=' || left(said, 40) as decision_rule
from decided
