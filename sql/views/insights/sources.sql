-- A row is: a source, and what the lake holds of it.
-- source: Name of the source
-- notes: Notes as they stand now
-- versions: Versions its notes have had
-- events: Events
-- stale: Notes of which a newer version was refused
-- quarantined: Units that were refused and wait for somebody to look
-- last_observed_at: When a note or event of it was last received (UTC)
WITH counted AS (
  SELECT
    source, count(*) AS notes, 0 AS versions, 0 AS events, count(CASE WHEN stale THEN 1 END) AS stale, 0 AS quarantined,
    max(observed_at) AS last_observed_at
  FROM notes.notes GROUP BY source
  UNION ALL
  SELECT source, 0, count(*), 0, 0, 0, NULL FROM notes.versions GROUP BY source
  UNION ALL
  SELECT source, 0, 0, count(*), 0, 0, max(landed_at) FROM notes.events GROUP BY source
  UNION ALL
  SELECT source, 0, 0, 0, 0, count(DISTINCT unit), NULL
  FROM ops.quarantine WHERE released_at IS NULL AND discarded_at IS NULL GROUP BY source
)
SELECT
  source,
  CAST(sum(notes) AS BIGINT) AS notes,
  CAST(sum(versions) AS BIGINT) AS versions,
  CAST(sum(events) AS BIGINT) AS events,
  CAST(sum(stale) AS BIGINT) AS stale,
  CAST(sum(quarantined) AS BIGINT) AS quarantined,
  max(last_observed_at) AS last_observed_at
FROM counted
GROUP BY source
