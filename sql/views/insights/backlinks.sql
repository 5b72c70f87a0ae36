-- A row is: a note that is linked to, and a link that leads to it from another note.
-- note_id: The note that is linked to
-- path: Where it lies
-- title: Its title
-- from_note_id: The note that links to it
-- from_path: Where that note lies
-- from_title: Title of that note
-- source: Name of the source of the linking note
-- kind: wikilink, markdown, reference, html, image, embed or block
-- text: Text shown for the link
-- line: Line of the link in its source file, from 1
-- resolution: How it was found: exact, alias, shortest, relative, case or ambiguous
-- target_source: Name of the source of the note that is linked to
SELECT
  link.target_note_id AS note_id,
  note.path,
  note.title,
  link.note_id AS from_note_id,
  origin.path AS from_path,
  origin.title AS from_title,
  link.source,
  link.kind,
  link.text,
  link.line,
  link.resolution,
  link.target_source
FROM notes.resolved_links AS link
JOIN notes.notes AS note ON note.note_id = link.target_note_id
JOIN notes.notes AS origin ON origin.note_id = link.note_id
WHERE link.target_note_id <> link.note_id
