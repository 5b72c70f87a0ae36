-- Macros: Functions that views are written with, because DuckDB has none that Athena has by the same name.
--
-- Athena has them itself, and sql/spark/functions.sql gives them to Spark: so that a view means the same in all three.
-- None of them bears the name of a function of DuckDB. Source: https://trino.io/docs/current/functions.html

-- Macro json_extract_scalar
-- Gives: the text of a scalar at a path of JSON; NULL for an object, an array, null or nothing
-- Takes doc: The JSON
-- Takes path: The path, such as $.name
-- Example: json_extract_scalar('{"a": {"b": 1}}', '$.a.b') = '1'
-- Example: json_extract_scalar('{"a": {"b": 1}}', '$.a') = NULL
CASE WHEN json_type(doc, path) NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN json_extract_string(doc, path) END

-- Macro to_unixtime
-- Gives: seconds since 1970 in UTC, with their fraction
-- Takes ts: The instant
-- Example: to_unixtime(TIMESTAMPTZ '1970-01-01 00:01:00.5+00') = 60.5
epoch_us(ts) / 1e6

-- Macro at_timezone
-- Gives: what clocks of a zone show at an instant
-- Takes ts: The instant
-- Takes zone: The zone, such as UTC
-- Example: at_timezone(TIMESTAMPTZ '2026-05-10 23:30:00+00', 'Asia/Tokyo') = TIMESTAMP '2026-05-11 08:30:00'
timezone(zone, ts)
