-- A row is: a link that leads to nothing, or to a note that lacks the heading or block it names.
-- note_id: The note it stands in
-- source: Name of the source
-- path: Where that note lies
-- title: Title of that note
-- kind: wikilink, markdown, reference, html, image, embed or block
-- target: What it points to as written, without fragment
-- text: Text shown for it
-- line: Line in the source file, from 1
-- broken: What is missing: target, heading or block
-- fragment: Heading or block after #, without the #; null if none
-- target_path: Path of the note that lacks the heading or block; null where the target itself is missing
SELECT
  link.note_id,
  link.source,
  note.path,
  note.title,
  link.kind,
  link.target,
  link.text,
  link.line,
  CASE
    WHEN link.resolution = 'missing' AND (link.kind = 'block' OR link.target LIKE '((%))') THEN 'block'
    WHEN link.resolution = 'missing' THEN 'target'
    WHEN link.fragment LIKE '^%' THEN 'block'
    ELSE 'heading'
  END AS broken,
  link.fragment,
  link.target_path
FROM notes.resolved_links AS link
LEFT JOIN notes.notes AS note ON note.note_id = link.note_id
WHERE link.resolution = 'missing' OR link.fragment_resolution = 'missing'
