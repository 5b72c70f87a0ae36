-- A row is: a version a note has had, with how long it stood; notes.version_texts has the text of each.
-- note_id: The note
-- source: Name of the source
-- sequence: Arrival in raw.<source> that made this version
-- version: Its number among the versions of the note, from 1, oldest first
-- op: What happened: created, updated, moved or deleted
-- path: Where the note lay from then on
-- moved_from: Where it lay before, if it moved
-- title: Its title then; null when deleted
-- content_sha256: SHA-256 of its content then, hex; null when deleted or unknown
-- word_count: Words in its body then; null when deleted or unknown
-- modified_at: When the source says it was modified (UTC)
-- valid_from: From when on this version stood: observed (documents, rows) or occurred (events), UTC
-- valid_to: Until when it stood; null if it still does. Of a deletion: null, or when the note came back
SELECT
  note_id, source, sequence, row_number() OVER (PARTITION BY note_id ORDER BY valid_from, sequence) AS version, op, path,
  moved_from, title, content_sha256, word_count, modified_at, valid_from,
  lead(valid_from) OVER (PARTITION BY note_id ORDER BY valid_from, sequence) AS valid_to
FROM notes.versions
