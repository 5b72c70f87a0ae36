-- Which open tasks are overdue or due soonest?
SELECT
  due_on,
  CASE WHEN due_on < CAST(current_date AS VARCHAR) THEN 'overdue' ELSE 'due' END AS standing,
  text AS task,
  source,
  path,
  line
FROM insights.open_tasks
WHERE due_on IS NOT NULL
ORDER BY due_on, source, path, line
LIMIT 10;
