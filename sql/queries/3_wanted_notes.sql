-- Which notes are linked but do not exist?
SELECT target AS wanted, count(*) AS links, count(DISTINCT note_id) AS notes, min(path) AS first_linked_from
FROM insights.broken_links
WHERE broken = 'target'
GROUP BY target
ORDER BY links DESC, wanted
LIMIT 10;
