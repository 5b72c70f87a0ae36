-- A row is: a note that has open tasks and was not modified for 90 days.
-- note_id: The note
-- source: Name of the source
-- path: Where it lies
-- title: Its title
-- open_tasks: Tasks in it that are open or being done
-- first_due_on: The first due date among them, as YYYY-MM-DD; null if none has one
-- modified_at: When it was last modified, as the source says (UTC)
-- days: Days since then
WITH open AS (
  SELECT note_id, count(*) AS open_tasks, min(due_on) AS first_due_on
  FROM notes.tasks
  WHERE state IN ('open', 'doing')
  GROUP BY note_id
), aged AS (
  SELECT
    note_id, source, path, title, modified_at,
    CAST(floor((to_unixtime(current_timestamp) - to_unixtime(modified_at)) / 86400) AS BIGINT) AS days
  FROM notes.notes
)
SELECT aged.note_id, aged.source, aged.path, aged.title, open.open_tasks, open.first_due_on, aged.modified_at, aged.days
FROM aged
JOIN open ON open.note_id = aged.note_id
WHERE aged.days >= 90
