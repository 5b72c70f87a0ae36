-- On which days did the most events occur, and in which source?
SELECT day, source, events
FROM insights.activity_per_day
WHERE events > 0
ORDER BY events DESC, day, source
LIMIT 10;
