-- Macros: JSON as Athena reads it: NULL where there is nothing, and for a text that is no JSON.
--
-- Source: https://trino.io/docs/current/functions/json.html

-- Macro is_json_scalar
-- Gives: whether JSON is a number, a text, a boolean or null
-- Takes doc: The JSON
-- Example: is_json_scalar('[1]') = false
json_type(doc) NOT IN ('OBJECT', 'ARRAY')

-- Macro json_array_length
-- Gives: how long a JSON array is, NULL for what is none
-- Takes doc: The JSON
-- Example: json_array_length('[1, 2]') = 2
-- Example: json_array_length('{}') = NULL
CASE WHEN json_valid(doc) AND NOT regexp_matches(system.main.regexp_replace(CAST(doc AS VARCHAR), '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i),\s*[\]}]|nan|inf') THEN CASE WHEN json_type(doc) = 'ARRAY' THEN CAST(system.main.json_array_length(doc) AS BIGINT) END END

-- Macro json_extract_scalar
-- Gives: the text of a scalar at a path; NULL for an object, an array, null or nothing
-- Takes doc: The JSON
-- Takes path: The path, $.name or $[0] and so on
-- Example: json_extract_scalar('{"a": {"b": 1}}', '$.a.b') = '1'
-- Example: json_extract_scalar('{"a": {"b": 1}}', '$.a') = NULL
-- Example: json_extract_scalar('{"a": 1,}', '$.a') = NULL
CASE WHEN json_valid(doc) AND NOT regexp_matches(system.main.regexp_replace(CAST(doc AS VARCHAR), '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i),\s*[\]}]|nan|inf') THEN CASE WHEN json_type(doc, path) = 'DOUBLE' AND NOT regexp_matches(CAST(doc AS VARCHAR), '(^|[^0-9.eE+-])' || system.main.replace(json_extract_string(doc, path), '.', '[.]') || '($|[^0-9.eE+-])') THEN error('json_extract_scalar: a number whose digits DuckDB does not keep') WHEN json_type(doc, path) NOT IN ('OBJECT', 'ARRAY', 'NULL') THEN json_extract_string(doc, path) END END

-- Macro json_size
-- Gives: how many members stand at a path: 0 for a scalar, NULL for nothing
-- Takes doc: The JSON
-- Takes path: The path
-- Example: json_size('{"x": [1, 2]}', '$.x') = 2
CASE WHEN json_valid(doc) AND NOT regexp_matches(system.main.regexp_replace(CAST(doc AS VARCHAR), '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i),\s*[\]}]|nan|inf') THEN CASE json_type(doc, path) WHEN 'ARRAY' THEN CAST(system.main.json_array_length(doc, path) AS BIGINT) WHEN 'OBJECT' THEN len(json_keys(doc, path)) ELSE CASE WHEN json_type(doc, path) IS NOT NULL THEN 0 END END END
