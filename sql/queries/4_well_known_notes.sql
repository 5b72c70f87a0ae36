-- Which notes do the most other notes lead to?
SELECT title, path, source, count(DISTINCT from_note_id) AS linked_from
FROM insights.backlinks
GROUP BY note_id, title, path, source
ORDER BY linked_from DESC, path
LIMIT 10;
