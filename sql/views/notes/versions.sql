-- A row is: a version a note has had, with how long it stood; the text of each is in raw.<source> under its sequence.
-- note_id: The note
-- source: Name of the source
-- sequence: Arrival in raw.<source> that made this version
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
  note_id, source, sequence, op, path, moved_from, title, content_sha256, word_count, modified_at, valid_from,
  lead(valid_from) OVER (PARTITION BY note_id ORDER BY valid_from, sequence) AS valid_to
FROM notes.versions
