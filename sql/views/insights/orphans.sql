-- A row is: a document that no other note links to, and that links to none itself.
-- note_id: The note
-- source: Name of the source
-- path: Where it lies
-- title: Its title
-- word_count: Words in its body
-- modified_at: When it was last modified, as the source says (UTC)
WITH linked AS (
  SELECT note_id FROM insights.backlinks
  UNION
  SELECT from_note_id AS note_id FROM insights.backlinks
)
SELECT note.note_id, note.source, note.path, note.title, note.word_count, note.modified_at
FROM notes.notes AS note
LEFT JOIN linked ON linked.note_id = note.note_id
WHERE note.kind = 'document' AND linked.note_id IS NULL
