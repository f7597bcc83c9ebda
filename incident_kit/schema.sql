-- The tables of one incident. Instants are TIMESTAMPTZ (UTC), durations integer milliseconds unless the name says seconds.
-- Unknown is NULL, never 0. Every loaded row names its load; a row of `requests` without one was derived from `attempts`.

create table if not exists meta (key varchar primary key, value varchar not null);

create table if not exists loads (
  load_id bigint primary key,
  source varchar not null,               -- the format's name
  path varchar not null,                 -- as the user gave it
  sha256 varchar not null,               -- of the file as it lay on disk
  rows_read bigint not null,
  rows_loaded bigint not null,
  rows_duplicate bigint not null,
  rows_rejected bigint not null,
  loaded_at timestamptz not null,
  check (rows_read = rows_loaded + rows_duplicate + rows_rejected)
);

create table if not exists rejects (load_id bigint not null, line bigint not null, reason varchar not null, record varchar);

-- what each load can answer: yes | lower bound | no, and why; and what its format could answer at best
create table if not exists answers (
  load_id bigint not null, question varchar not null, answer varchar not null, why varchar not null, at_best varchar not null, at_best_why varchar not null
);

create table if not exists attempts (
  attempt_id varchar not null,
  request_id varchar not null,
  seq integer,                           -- order within the request, from 1; refusals and cache hits take a number too
  kind varchar not null,                 -- call | refusal | cache_hit | guardrail
  target varchar,                        -- what a policy names; in LiteLLM the model group
  deployment varchar,
  provider varchar,
  model varchar,
  sent_at timestamptz,
  first_token_at timestamptz,            -- NULL unless streamed
  done_at timestamptz,
  latency_ms bigint,
  status varchar,                        -- ok | error | timeout | cut
  error_class varchar,                   -- an HTTP code as text, or timeout | context_window | content_policy | connection | cut | unknown
  prompt_tokens bigint,
  completion_tokens bigint,
  cost_usd double,
  tools_offered integer,
  tool_calls integer,                    -- calls the answer made
  tool_errors integer,                   -- of them: malformed, or answered with an error
  tool_result_at timestamptz,            -- when the last result became known (with the next request of the conversation)
  cache_hit boolean,
  worker varchar,
  retry_after_ms bigint,                 -- what a failure's Retry-After header asked to wait
  load_id bigint
);

-- what each logged record says, besides the attempt itself: `requests` and the derived columns of `attempts` are rolled up from these
create table if not exists request_facts (
  request_id varchar not null,
  attempt_id varchar not null,
  seq integer,                           -- order within the request, where the record says it
  began_at timestamptz,                  -- when the record's own clock started
  spans_request boolean,                 -- that clock starts with the request, not with this call
  rows_stated integer,                   -- how many attempts the record says its request had; NULL: it does not say
  fallbacks integer,                     -- how many of them went to another target
  conversation_id varchar,
  ticket_id varchar,
  intent varchar,
  channel varchar,
  requested varchar,                     -- where the record itself says what was asked for; '' where it says that it cannot
  is_fallback boolean,                   -- where the record itself says so
  stream boolean,
  labels json,
  calls_made struct(id varchar, ok boolean)[],    -- tool calls of this answer; ok: well formed
  tool_results struct(id varchar, ok boolean)[],  -- what came in with this request, of earlier calls
  request_began_at timestamptz,          -- when the whole request came in and was answered, where the record says so apart from
  request_done_at timestamptz,           -- its calls: its wait is then no lower bound
  complete boolean,                      -- every attempt of the request is in its file
  source varchar not null,
  load_id bigint not null
);

create table if not exists requests (
  request_id varchar not null,
  conversation_id varchar,
  ticket_id varchar,
  intent varchar,
  channel varchar,
  arrived_at timestamptz not null,
  wait_ms bigint,
  wait_is_lower_bound boolean,
  requested varchar,
  served varchar,                        -- target of the answer; NULL when none came
  is_fallback boolean,
  status varchar,                        -- ok | error | timeout | cut
  error_class varchar,
  stream boolean,
  tools_offered integer,
  tool_calls integer,
  tool_errors integer,
  prompt_tokens bigint,
  completion_tokens bigint,
  cost_usd double,
  attempts_logged integer,               -- rows in `attempts`, refusals and cache hits included
  attempts_complete boolean,
  labels json,
  load_id bigint
);

create table if not exists feedback (
  feedback_id varchar not null,
  suggestion_id varchar,
  request_id varchar,
  ticket_id varchar,
  shown_at timestamptz,
  "at" timestamptz,                        -- when the agent decided
  decision varchar not null,             -- accepted | edited | rejected | ignored | unknown
  overridden boolean,                    -- edited or rejected; NULL when ignored or unknown
  edit_ratio double,
  source varchar,                        -- the product that recorded it
  decision_rule varchar,                 -- how the decision was derived there
  load_id bigint
);

create table if not exists tickets (
  ticket_id varchar not null,
  created_at timestamptz,
  first_reply_at timestamptz,
  solved_at timestamptz,
  priority varchar,
  channel varchar,
  intent varchar,
  reopens integer,
  csat double,
  assigned_at timestamptz,               -- when it first had an agent
  status varchar,                        -- new | open | pending | hold | solved | closed, at the export
  group_name varchar,
  url varchar,
  load_id bigint
);

-- what each file of a help desk says of a ticket, where several files do: `tickets` is rolled up from these
create table if not exists ticket_facts (
  ticket_id varchar not null,
  source varchar not null,               -- the format's name
  created_at timestamptz,
  first_reply_at timestamptz,
  solved_at timestamptz,
  priority varchar,
  channel varchar,
  intent varchar,
  reopens integer,
  csat double,
  assigned_at timestamptz,
  status varchar,
  group_name varchar,
  url varchar,
  load_id bigint
);

create table if not exists sla (
  ticket_id varchar not null,
  metric varchar not null,
  instance_no integer not null,
  policy varchar,
  target_s bigint,
  clock varchar,                         -- business | calendar
  started_at timestamptz,
  due_at timestamptz,
  stopped_at timestamptz,
  paused_s bigint,
  elapsed_s bigint,
  breached boolean,
  outcome varchar,                       -- met | breached | active | cancelled
  evidence_level varchar,                -- event | instance | label
  recomputed_breached boolean,
  source varchar,                        -- the help desk whose rules the clock keeps: zendesk | freshdesk | intercom | jira | servicenow | salesforce
  schedule_id varchar,                   -- of its business hours, where the source says it
  load_id bigint
);

-- what policies promise: the target of a metric for a priority, from when on
create table if not exists sla_targets (
  policy_id varchar not null,
  metric varchar not null,
  priority varchar,                      -- NULL: any
  target_s bigint not null,
  clock varchar,                         -- business | calendar
  from_at timestamptz,                   -- NULL: ever since
  load_id bigint
);

-- what the SLA clock made of the instances: derived, written anew when the clock runs
create table if not exists sla_verdicts (
  ticket_id varchar not null,
  metric varchar not null,
  instance_no integer not null,
  due_at timestamptz,
  breached_at timestamptz,
  breached boolean,
  verdict varchar not null               -- met | breached | active | cancelled | too close to call | cannot be recomputed
);

create table if not exists sla_events (
  ticket_id varchar not null,
  metric varchar not null,
  instance_no integer not null,
  "at" timestamptz not null,
  type varchar not null,                 -- start | pause | resume | apply | target_change | breach | stop | cancel | reset | status | measure
  target_s bigint,
  clock varchar,
  policy varchar,
  seq bigint not null,                   -- order of events at the same instant
  elapsed_s bigint,                      -- of a status event: what the help desk itself had counted by then, on the calendar
  elapsed_business_s bigint,             -- the same on its business hours
  load_id bigint
);

create table if not exists ticket_events (
  ticket_id varchar not null,
  "at" timestamptz not null,
  type varchar not null,                 -- created | status | priority | comment | assigned | schedule | policy | target | reopen | escalation | merged | deleted | ...
  value varchar,                         -- the new one: a status (new | open | pending | hold | solved | closed), a priority, an id, a title; of a target its JSON
  actor varchar,
  public boolean,                        -- of a comment
  seq bigint,                            -- order of events at the same instant
  load_id bigint
);

create table if not exists actors (
  actor_id varchar not null,
  role varchar,                          -- agent | end_user | bot
  load_id bigint
);

create table if not exists schedules (
  schedule_id varchar not null,
  name varchar,
  zone varchar,                          -- an IANA name, or the help desk's own
  is_default boolean,                    -- in force where a ticket names no other
  load_id bigint
);

create table if not exists schedule_windows (
  schedule_id varchar not null,
  starts_minute integer not null,        -- from Sunday 00:00, local
  ends_minute integer not null,
  load_id bigint
);

create table if not exists schedule_holidays (
  schedule_id varchar not null,
  name varchar,
  starts_on date not null,               -- local dates, both of them closed
  ends_on date,
  load_id bigint
);

create table if not exists signals (
  name varchar not null, known_at timestamptz not null, numerator double, denominator double, value double,
  request_id varchar, ticket_id varchar, intent varchar, target varchar, load_id bigint
);

-- of a pack, whose ids are not the log's own: what their hashes decided (borrow | probe | target:NAME)
create table if not exists lots (request_id varchar not null, what varchar not null, word ubigint not null);

create table if not exists annotations ("at" timestamptz not null, until timestamptz, kind varchar not null, text varchar, link varchar);
