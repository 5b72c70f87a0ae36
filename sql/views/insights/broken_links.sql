-- A row is: a link that leads to nothing in its source.
-- note_id: The note it stands in
-- source: Name of the source
-- path: Where that note lies
-- title: Title of that note
-- kind: wikilink, markdown, reference, image or embed
-- target: What it points to as written, without fragment
-- text: Text shown for it
-- line: Line in the source file, from 1
SELECT link.note_id, link.source, note.path, note.title, link.kind, link.target, link.text, link.line
FROM notes.resolved_links AS link
LEFT JOIN notes.notes AS note ON note.note_id = link.note_id
WHERE link.resolution = 'missing'
