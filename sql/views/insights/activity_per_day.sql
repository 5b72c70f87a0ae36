-- A row is: a day (UTC) on which something happened in a source.
-- day: The day
-- source: Name of the source
-- created: Notes that came into being
-- updated: Notes that changed
-- moved: Notes that moved
-- deleted: Notes that were removed
-- events: Events that occurred
--
-- Versions count on the day they began to stand: when a file or row was observed, when an event occurred.
WITH happened AS (
  SELECT CAST(at_timezone(valid_from, 'UTC') AS DATE) AS day, source, op FROM notes.versions
  UNION ALL
  SELECT CAST(at_timezone(occurred_at, 'UTC') AS DATE) AS day, source, 'event' AS op FROM notes.events
)
SELECT
  day,
  source,
  count(CASE WHEN op = 'created' THEN 1 END) AS created,
  count(CASE WHEN op = 'updated' THEN 1 END) AS updated,
  count(CASE WHEN op = 'moved' THEN 1 END) AS moved,
  count(CASE WHEN op = 'deleted' THEN 1 END) AS deleted,
  count(CASE WHEN op = 'event' THEN 1 END) AS events
FROM happened
GROUP BY day, source
