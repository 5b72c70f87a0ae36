-- A row is: a note as it stood at an instant; one that was deleted by then is not among them.
-- Takes instant: The instant, e.g. TIMESTAMPTZ '2026-05-14 12:00:00+00'
-- note_id: The note
-- source: Name of the source
-- path: Where it lay
-- title: Its title then
-- word_count: Words in its body then
-- version: Number of the version that stood, from 1
-- sequence: Arrival in raw.<source> that made it
-- content_sha256: SHA-256 of its content then, hex; null if unknown
-- modified_at: When the source says it was modified (UTC)
-- valid_from: From when on this version stood (UTC)
-- valid_to: Until when it stood; null if it still does
-- text: Text of its file then; null for rows, events, and files that are no text
SELECT
  v.note_id, v.source, v.path, v.title, v.word_count, v.version, v.sequence, v.content_sha256, v.modified_at,
  v.valid_from, v.valid_to, t.text
FROM notes.versions AS v
LEFT JOIN notes.version_texts AS t ON t.note_id = v.note_id AND t.sequence = v.sequence
WHERE v.op <> 'deleted' AND v.valid_from <= instant AND (v.valid_to IS NULL OR v.valid_to > instant)
