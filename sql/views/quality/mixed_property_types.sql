-- A row is: a type that a property has in some notes of a source, while it has another in others.
-- source: Name of the source
-- key: The property
-- type: text, number, boolean, list or object
-- notes: Notes in which it has this type
-- types: How many types it has in this source
-- example_path: One of these notes
--
-- Only in DuckDB: keys and types of JSON.
WITH property AS (
  SELECT source, path, unnest(json_keys(properties)) AS key, properties FROM notes.notes WHERE properties <> '{}'
), typed AS (
  SELECT
    source, path, key,
    CASE json_type(json_extract(properties, '/' || replace(replace(key, '~', '~0'), '/', '~1')))
      WHEN 'VARCHAR' THEN 'text' WHEN 'BOOLEAN' THEN 'boolean' WHEN 'ARRAY' THEN 'list' WHEN 'OBJECT' THEN 'object'
      WHEN 'NULL' THEN NULL ELSE 'number'
    END AS type
  FROM property
), counted AS (
  SELECT source, key, type, count(*) AS notes, min(path) AS example_path
  FROM typed
  WHERE type IS NOT NULL
  GROUP BY source, key, type
), of_key AS (
  SELECT source, key, count(*) AS types FROM counted GROUP BY source, key HAVING count(*) > 1
)
SELECT counted.source, counted.key, counted.type, counted.notes, of_key.types, counted.example_path
FROM counted
JOIN of_key ON of_key.source = counted.source AND of_key.key = counted.key
