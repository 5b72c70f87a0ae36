-- A row is: a note of more than 10 000 words or 100 000 characters, which is hard to read and to link into.
-- note_id: The note
-- source: Name of the source
-- path: Where it lies
-- title: Its title
-- word_count: Words in its body
-- characters: Characters in its body
-- sections: Sections it has, the one before the first heading included
WITH divided AS (
  SELECT note_id, count(*) AS sections FROM notes.sections GROUP BY note_id
)
SELECT
  note.note_id, note.source, note.path, note.title, note.word_count, length(note.body) AS characters,
  coalesce(divided.sections, 0) AS sections
FROM notes.notes AS note
LEFT JOIN divided ON divided.note_id = note.note_id
WHERE note.word_count > 10000 OR length(note.body) > 100000
