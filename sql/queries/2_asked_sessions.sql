-- Which sessions drew the most questions, and who took notes of them?
WITH asked AS (
  SELECT session, count(*) AS questions, count(DISTINCT actor) AS people
  FROM insights.session_events
  WHERE type LIKE '%.question'
  GROUP BY session
), kept AS (
  SELECT
    session,
    max(CASE WHEN kind = 'row' THEN title END) AS title,
    count(CASE WHEN kind = 'document' THEN 1 END) AS vault_notes,
    count(CASE WHEN kind = 'event' THEN 1 END) AS live_notes
  FROM insights.session_notes
  GROUP BY session
)
SELECT
  asked.session, kept.title, asked.questions, asked.people,
  coalesce(kept.vault_notes, 0) AS vault_notes,
  coalesce(kept.live_notes, 0) AS live_notes
FROM asked
LEFT JOIN kept ON kept.session = asked.session
ORDER BY asked.questions DESC, asked.session
LIMIT 10;
