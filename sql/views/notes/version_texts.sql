-- A row is: a version of a note of a document source, with the text of its file then.
-- note_id: The note
-- source: Name of the source
-- sequence: Arrival in raw.<source> that made this version
-- version: Its number among the versions of the note, from 1, oldest first
-- op: What happened: created, updated or moved
-- path: Where the note lay from then on
-- file: The file it lay in: its own path, unless the file holds several notes
-- media_type: Media type of the file
-- text: Text of the file then; null if it is no UTF-8 text, or holds several notes
-- valid_from: From when on this version stood (UTC)
-- valid_to: Until when it stood; null if it still does
--
-- Only in DuckDB: Athena replaces bytes that are no UTF-8, and tells nobody.
--
-- The bytes of any file, text or not, are in notes.contents under the sequence. Rows and events are no files: their
-- earlier values are in raw.<source>.
SELECT
  version.note_id, version.source, version.sequence, version.version, version.op, version.path, content.path AS file,
  content.media_type,
  CASE WHEN content.path = version.path THEN ltrim(TRY(decode(content.content)), chr(65279)) END AS text,
  version.valid_from, version.valid_to
FROM notes.versions AS version
JOIN notes.contents AS content ON content.source = version.source AND content.sequence = version.sequence
WHERE version.op <> 'deleted'
