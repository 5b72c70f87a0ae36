-- A row is: a content that files beside the notes or within them have, each content once.
-- sha256: SHA-256 of its bytes, hex
-- media_type: Media type, by name; of several the first
-- size: Size in bytes
-- width: Width in pixels, if it is an image that says so
-- height: Height in pixels, if it is an image that says so
-- copies: How many files have it
-- paths: Where they lie, each as source/path, sorted
-- links: Links, images and embeds that lead to one of them
-- linked_from: Notes that refer to it, each as source/path, sorted; null if none does
WITH referred AS (
  SELECT
    file.sha256, count(*) AS links, array_sort(array_distinct(array_agg(note.source || '/' || note.path))) AS linked_from
  FROM notes.resolved_links AS link
  JOIN notes.attachments AS file ON file.source = link.target_source AND file.path = link.target_path
  JOIN notes.notes AS note ON note.note_id = link.note_id
  WHERE link.target_note_id IS NULL
  GROUP BY file.sha256
), held AS (
  SELECT
    sha256, min(media_type) AS media_type, max(size) AS size, max(width) AS width, max(height) AS height,
    count(*) AS copies, array_sort(array_agg(source || '/' || path)) AS paths
  FROM notes.attachments
  WHERE sha256 IS NOT NULL
  GROUP BY sha256
)
SELECT
  held.sha256, held.media_type, held.size, held.width, held.height, held.copies, held.paths,
  coalesce(referred.links, 0) AS links,
  referred.linked_from
FROM held
LEFT JOIN referred ON referred.sha256 = held.sha256
