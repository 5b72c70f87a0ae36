-- A row is: a link that fits several notes or files equally well, and is taken to lead to the first of them.
-- note_id: The note it stands in
-- source: Name of the source
-- path: Where that note lies
-- line: Line in the source file, from 1
-- kind: wikilink, markdown, reference, image, embed or html
-- target: What it points to as written, without fragment
-- text: Text shown for it
-- taken_path: Path of the note or file it is taken to lead to
SELECT
  link.note_id, link.source, note.path, link.line, link.kind, link.target, link.text, link.target_path AS taken_path
FROM notes.resolved_links AS link
JOIN notes.notes AS note ON note.note_id = link.note_id
WHERE link.resolution = 'ambiguous'
