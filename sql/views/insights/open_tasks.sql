-- A row is: a task that is open or being done, with the note it stands in.
-- note_id: The note
-- source: Name of the source
-- path: Where the note lies in its source
-- title: Title of the note
-- state: open or doing
-- text: The task's text without its marker
-- heading: Heading it stands under; null before the first
-- due_on: Due date as YYYY-MM-DD, if the text gives one
-- scheduled_on: Scheduled date as YYYY-MM-DD, if the text gives one
-- priority: Priority as written, if the text gives one
-- line: Line in the source file, from 1
SELECT
  task.note_id, task.source, note.path, note.title, task.state, task.text, task.heading, task.due_on, task.scheduled_on,
  task.priority, task.line
FROM notes.tasks AS task
JOIN notes.notes AS note ON note.note_id = task.note_id
WHERE task.state IN ('open', 'doing')
