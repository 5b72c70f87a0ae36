-- A row is: a document without a word in it.
-- note_id: The note
-- source: Name of the source
-- path: Where it lies
-- title: Its title
-- properties: Its front matter, as a JSON object
-- modified_at: When it was last modified, as the source says (UTC)
SELECT note_id, source, path, title, properties, modified_at
FROM notes.notes
WHERE kind = 'document' AND coalesce(word_count, 0) = 0
