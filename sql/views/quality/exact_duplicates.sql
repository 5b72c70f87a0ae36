-- A row is: a note whose text is that of another note too, in whatever source, white space at its ends and ends of lines aside.
-- text_md5: MD5 of the text, hex: the same for all that have it
-- copies: How many notes have it
-- sources: In how many sources
-- note_id: The note
-- source: Name of its source
-- path: Where it lies
-- title: Its title
-- word_count: Words in its body
-- modified_at: When it was last modified, as the source says; else when it was first seen (UTC)
-- is_newest: True for the one that was modified last, of several the first by source and path
--
-- Only in DuckDB: md5() of a text is bytes in Athena.
WITH said AS (
  SELECT
    note_id, source, path, title, word_count,
    regexp_replace(replace(body, chr(13), ''), '^\s+|\s+$', '', 'g') AS text,
    coalesce(modified_at, created_at, observed_at) AS modified_at
  FROM notes.notes
), hashed AS (
  SELECT note_id, source, path, title, word_count, modified_at, md5(text) AS text_md5 FROM said WHERE text <> ''
), counted AS (
  SELECT text_md5, count(*) AS copies, count(DISTINCT source) AS sources
  FROM hashed
  GROUP BY text_md5
  HAVING count(*) > 1
)
SELECT
  note.text_md5, counted.copies, counted.sources, note.note_id, note.source, note.path, note.title, note.word_count,
  note.modified_at,
  row_number() OVER (PARTITION BY note.text_md5 ORDER BY note.modified_at DESC, note.source, note.path) = 1 AS is_newest
FROM hashed AS note
JOIN counted ON counted.text_md5 = note.text_md5
