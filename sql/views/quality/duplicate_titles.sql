-- A row is: a note that has its title in common with another, upper and lower case being the same.
-- title: The title
-- notes: How many notes bear it
-- sources: In how many sources
-- note_id: The note
-- source: Name of its source
-- path: Where it lies
-- word_count: Words in its body
-- modified_at: When it was last modified, as the source says (UTC)
WITH named AS (
  SELECT lower(trim(title)) AS name, count(*) AS notes, count(DISTINCT source) AS sources
  FROM notes.notes
  GROUP BY lower(trim(title))
  HAVING count(*) > 1
)
SELECT note.title, named.notes, named.sources, note.note_id, note.source, note.path, note.word_count, note.modified_at
FROM notes.notes AS note
JOIN named ON named.name = lower(trim(note.title))
