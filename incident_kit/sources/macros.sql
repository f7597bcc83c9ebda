-- What format files may call besides DuckDB's own functions.

-- 's', 'ms', 'us' or 'ns' for a number (or its text) since 1970 by its size; NULL for any other text
create or replace temp macro epoch_unit(value) as case
  when not regexp_full_match(value::varchar, '\s*[0-9]{9,20}(\.[0-9]+)?([eE]\+?[0-9]+)?\s*') then null
  when try_cast(value as double) < 1e11 then 's'
  when try_cast(value as double) < 1e14 then 'ms'
  when try_cast(value as double) < 1e17 then 'us'
  when try_cast(value as double) < 1e20 then 'ns'
end;

-- whether a text may be a date: not 'infinity' or 'epoch', no year of five digits, none before Christ
create or replace temp macro dated(value) as regexp_full_match(value::varchar, '\s*[0-9]{1,4}[^0-9(][^(]*');

-- whether a text is a time of day without a zone
create or replace temp macro zoneless(value) as coalesce(
  dated(value) and try_cast(value as timestamp) is not null and not regexp_matches(value, '[0-9]{2}:[0-9]{2}.*(Z|[+-][0-9]{2}(:?[0-9]{2})?|\s[A-Za-z][A-Za-z_/]+)\s*$'),
  false
);

-- the instant of a number of seconds since 1970, or of its text, up to the year 9999
create or replace temp macro epoch_seconds(value) as
  to_timestamp(case when try_cast(value as double) between -62135596800 and 253402300799 then try_cast(value as double) end);

-- the instant a text or number says: ISO 8601 with a zone, without one read in `zone` (NULL: not read), or an epoch number of any unit
create or replace temp macro instant(value, zone) as case
  when epoch_unit(value) = 's' then make_timestamptz((try_cast(value as double) * 1e6)::bigint)
  when epoch_unit(value) = 'ms' then make_timestamptz((try_cast(value as double) * 1e3)::bigint)
  when epoch_unit(value) = 'us' then make_timestamptz(try_cast(value as double)::bigint)
  when epoch_unit(value) = 'ns' then make_timestamptz(try_cast(try_cast(value as hugeint) // 1000 as bigint))
  when zoneless(value) then timezone(zone, try_cast(value as timestamp))
  when dated(value) then try_cast(value as timestamptz)
end;

-- one flat JSON object of what else a product put on a request: short plain values only, nothing that may be a secret;
-- later objects win; `known` is a JSON object whose keys are left out
create or replace temp macro plain_labels(first_object, second_object, third_object, known) as (
  nullif(
    to_json(map_from_entries(list_filter(
      map_entries(try_cast(
        -- what is known goes first: the fewer keys, the cheaper the map
        try(json_merge_patch(coalesce(first_object, '{}'), coalesce(second_object, '{}'), coalesce(third_object, '{}'), known))
        as map(varchar, json)
      )),
      lambda e: left(e.value::varchar, 1) not in ('{', '[', 'n') and length(e.value::varchar) <= 200
        and not regexp_matches(e.key, '(?i)auth|token|secret|cookie|key|passw|^x-litellm-|^x-stainless-')
    )))::varchar,
    '{}'
  )::json
);

-- the kit's word for what an SLA promises, told from the whole name that a help desk's owner gave it; any other name as one word
create or replace temp macro sla_metric(name) as case
  when regexp_full_match(name, '(?i)\s*(time to )?(first|initial) (response|reply)( time| sla)?\s*|\s*response( time| sla)?\s*|\s*time to (response|respond)\s*')
    then 'first_reply'
  when regexp_full_match(name, '(?i)\s*(time to )?(next|every|subsequent) (response|reply)( time| sla)?\s*') then 'next_reply'
  when regexp_full_match(name, '(?i)\s*(time to )?(full |final )?(resolution|resolve)( time| sla)?\s*') then 'resolution'
  else nullif(trim(regexp_replace(lower(left(name, 80)), '[^\p{L}\p{N}]+', '_', 'g'), '_'), '')
end;

-- seconds of a duration written as hours, minutes and perhaps seconds ('09:30', '107:09:48'); NULL for any other text
create or replace temp macro clock_seconds(value) as case
  when regexp_full_match(value, '\s*[0-9]{1,6}:[0-5][0-9](:[0-5][0-9](\.[0-9]+)?)?\s*')
    then split_part(value, ':', 1)::bigint * 3600 + split_part(value, ':', 2)::bigint * 60
      + floor(coalesce(try_cast(nullif(trim(split_part(value, ':', 3)), '') as double), 0))::bigint
end;

-- OTLP/JSON attributes as one JSON object: a text stays a text, a list or an object (also one that a decoder made of a text) stays one
create or replace temp macro otlp_attributes(listed) as (
  '{' || array_to_string(list_transform(
    list_filter(listed, lambda a: a.key is not null),
    lambda a: to_json(a.key)::varchar || ':' || coalesce(
      a.value.stringValue, a.value.intValue, a.value.doubleValue, a.value.boolValue, a.value.arrayValue."values", a.value.kvlistValue."values",
      'null'
    )::varchar
  ), ',') || '}'
)::json;

-- the spans of one OTLP/JSON record with their resource's attributes, or one NULL where it holds none
create or replace temp macro otlp_spans(record) as coalesce(
  nullif(flatten(flatten(list_transform(
    from_json(record, '{"resourceSpans": [{"resource": {"attributes": [{"key": "VARCHAR", "value": {"stringValue": "JSON", "intValue": "JSON", "doubleValue": "JSON", "boolValue": "JSON", "arrayValue": {"values": "JSON"}, "kvlistValue": {"values": "JSON"}}}]}, "scopeSpans": [{"spans": [{"traceId": "VARCHAR", "spanId": "VARCHAR", "parentSpanId": "VARCHAR", "name": "VARCHAR", "kind": "VARCHAR", "startTimeUnixNano": "VARCHAR", "endTimeUnixNano": "VARCHAR", "status": {"code": "VARCHAR"}, "attributes": [{"key": "VARCHAR", "value": {"stringValue": "JSON", "intValue": "JSON", "doubleValue": "JSON", "boolValue": "JSON", "arrayValue": {"values": "JSON"}, "kvlistValue": {"values": "JSON"}}}]}]}]}]}').resourceSpans,
    lambda r: list_transform(r.scopeSpans, lambda s: list_transform(s.spans, lambda x: struct_insert(x, resource := r.resource.attributes)))
  ))), []),
  [null]
);

-- the kit's class of an error from its type (an exception's name, a status code or a word), code and message; any may be NULL
create or replace temp macro error_said(type, code, message) as case
  when code = '408' or type = '408' or regexp_matches(type, '(?i)time.?out|deadline') then 'timeout'
  when code = 'content_filter' or regexp_matches(type, '(?i)content.?(policy|filter)') then 'content_policy'
  when regexp_matches(type, '(?i)context.?(window|length)') then 'context_window'
  when regexp_matches(type, '(?i)connect|ReadError|connreset|UnknownHost|BrokenPipe') or regexp_matches(message, '(?i) - connection error\.?\s*$') then 'connection'
  when regexp_full_match(code, '[1-5][0-9][0-9]') then code
  when regexp_full_match(type, '[1-5][0-9][0-9]') then type
  when regexp_matches(type, '(?i)rate.?limit|throttl|too.?many') then '429'
  when regexp_matches(type, '(?i)unavailable|overloaded') then '503'
  when regexp_matches(type, '(?i)internal.?server') then '500'
  when regexp_matches(type, '(?i)bad.?request|invalid.?request') then '400'
  else 'unknown'
end;

-- a number or its text as an amount: finite and not negative, else NULL
create or replace temp macro amount(value) as case
  when isfinite(try_cast(value as double)) and try_cast(value as double) >= 0 then try_cast(value as double)
end;

-- a number or its text as a count, or as milliseconds: whole and not negative, else NULL
create or replace temp macro whole(value) as case
  when isfinite(try_cast(value as double)) and try_cast(value as double) between 0 and 1e15 then round(try_cast(value as double))::bigint
end;

-- whether an instant may be one of a log: no number misread, no clock that was never set; NULL for no instant
create or replace temp macro in_our_time(value) as value between timestamptz '2015-01-01 00:00:00+00' and timestamptz '2100-01-01 00:00:00+00';

-- the instant inside a UUID of version 7, to the millisecond; NULL for any other text
create or replace temp macro uuid7_instant(value) as try(
  case when uuid_extract_version(try_cast(value as uuid)) = 7 then uuid_extract_timestamp(try_cast(value as uuid)) end
);

-- a number of minutes as English and plain reports write it (90, 12.5, 1,440); NULL where a point or comma may be the other one's
create or replace temp macro plain_minutes(value) as case
  when regexp_full_match(value, '[0-9]+(\.([0-9]{1,2}|[0-9]{4,}))?') then try_cast(value as double)
  when regexp_full_match(value, '[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?') then try_cast(replace(value, ',', '') as double)
end;

-- a label: the first of the values at its paths, else what its pattern takes from the tags
create or replace temp macro labelled(found, tags, pattern) as coalesce(
  list_filter(found, lambda x: x <> '')[1],
  list_filter(list_transform(tags, lambda t: regexp_extract(t, pattern, 1)), lambda x: x <> '')[1]
);

-- a status of Freshdesk or Freshservice in the kit's words
create or replace temp macro freshdesk_status(word) as case
  when lower(word) in ('new', 'open', 'pending', 'hold', 'solved', 'closed') then lower(word)
  when lower(word) = 'resolved' then 'solved'
  when lower(word) = 'on hold' or lower(word) like '%third party%' then 'hold'
  when lower(word) like 'waiting on%' or lower(word) like 'awaiting%' then 'pending'
  when word is not null then 'unknown'
end;

-- start, stop and breach of a cycle of Jira Service Management
create or replace temp macro jsm_times(cycle) as list_transform(
  ['startTime', 'stopTime', 'breachTime'],
  lambda name: coalesce(
    instant(json_extract_string(cycle, '$.' || name || '.epochMillis'), 'UTC'),
    instant(json_extract_string(cycle, '$.' || name || '.iso8601'), null)
  )
);

-- goal and elapsed milliseconds of such a cycle
create or replace temp macro jsm_lengths(cycle) as list_transform(
  ['goalDuration', 'elapsedTime'],
  lambda name: try_cast(json_extract_string(cycle, '$.' || name || '.millis') as bigint)
);

-- the decision that a number says, where it says of a suggestion that it was accepted, edited, rejected or overridden
create or replace temp macro judged(says, value) as case
  when says = 'edit share' and value = 0 then 'accepted'
  when says = 'edit share' and value > 0 then 'edited'
  when says = 'overridden' and value = 1 then 'rejected'
  when says = 'overridden' and value in (0, -1) then 'accepted'
  when says = 'accepted' and value in (0, -1) then 'rejected'
  when says in ('accepted', 'edited', 'rejected') and value = 1 then says
  -- not rejected may be edited, and not edited may be rejected
  when says in ('edited', 'rejected') and value in (0, -1) then 'unknown'
end;
