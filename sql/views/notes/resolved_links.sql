-- A row is: a link, image or embed, and where it leads.
-- note_id: The note it stands in
-- source: Name of the source
-- ordinal: Its place among the note's links, from 0
-- kind: wikilink, markdown, reference, autolink, image or embed
-- target: What it points to as written, without fragment
-- fragment: Heading or block after #, without the #; null if none
-- text: Text shown for it
-- line: Line in the source file, from 1
-- byte_start: First byte in the source file, from 0
-- byte_end: Byte after the last, so that file[byte_start:byte_end] is the text
-- resolution: How it was found: exact, alias, shortest, relative or case; ambiguous, missing or external
-- target_note_id: The note it leads to; null for an attachment and where nothing was found
-- target_path: Path of the note or attachment it leads to; null where nothing was found
--
-- The rule, among the notes and attachments of the link's own source; the first step that finds something decides:
--   1. external: an address with a scheme, one that begins with //, an autolink. In a wikilink or embed only `scheme://` counts,
--      since note names hold colons.
--   2. An empty target ([[#Heading]]) is the note itself: exact.
--   3. relative: the path from the folder of the linking note; up to eight steps `..` are followed.
--   4. exact: the path from the root of the source.
--   5. alias: a name the note says it answers to.
--   6. shortest: the last one to four parts of its path, as Obsidian writes them.
--   7. alias: its title.
--   8. case: steps 3 to 7 again, upper and lower case being the same.
--   9. missing.
-- `.md` and `.markdown` may be left out, %20 and the like are read, `___` is Logseq's `/` in file names.
-- If a step finds several, the one in the fewest folders is taken; if there are several of these, the link is ambiguous
-- and leads to the first in path order. dagster_project/model/links.py says the same in Python.
--
-- Every step is one lookup of a key that was computed before: the cost follows the number of links, not their product
-- with the notes.
WITH target AS (
  SELECT source, note_id, path, title, aliases FROM notes.notes
  UNION ALL
  SELECT DISTINCT source, '' AS note_id, path, CAST(NULL AS VARCHAR) AS title, CAST(NULL AS VARCHAR[]) AS aliases
  FROM notes.attachments
), keyed AS (
  SELECT
    source, note_id, path, title, aliases,
    length(path) - length(replace(path, '/', '')) AS depth,
    replace(regexp_replace(coalesce(TRY(url_decode(path)), path), '[.](md|markdown)$', ''), '___', '/') AS path_key
  FROM target
), named AS (
  SELECT 'path' AS sort, source, '/' || path_key AS key, depth, path, note_id FROM keyed
  UNION ALL
  SELECT 'ending', source, regexp_extract(path_key, '[^/]+$'), depth, path, note_id FROM keyed
  UNION ALL
  SELECT 'ending', source, regexp_extract(path_key, '[^/]+/[^/]+$'), depth, path, note_id FROM keyed
  UNION ALL
  SELECT 'ending', source, regexp_extract(path_key, '[^/]+/[^/]+/[^/]+$'), depth, path, note_id FROM keyed
  UNION ALL
  SELECT 'ending', source, regexp_extract(path_key, '[^/]+/[^/]+/[^/]+/[^/]+$'), depth, path, note_id FROM keyed
  UNION ALL
  SELECT DISTINCT 'alias', keyed.source, a.alias, keyed.depth, keyed.path, keyed.note_id
  FROM keyed CROSS JOIN UNNEST(keyed.aliases) AS a(alias)
  UNION ALL
  SELECT 'title', source, title, depth, path, note_id FROM keyed
), ranked AS (
  SELECT
    sort, source, key, path, note_id,
    row_number() OVER (PARTITION BY sort, source, key ORDER BY depth, path, note_id) AS place,
    count(*) OVER (PARTITION BY sort, source, key, depth) AS rivals
  FROM named
  WHERE key <> ''
), best AS (
  SELECT sort, source, key, path, note_id, CASE WHEN rivals > 1 THEN 1 ELSE 0 END AS tied FROM ranked WHERE place = 1
), named_lower AS (
  SELECT DISTINCT sort, source, lower(key) AS key, depth, path, note_id FROM named WHERE key <> ''
), ranked_lower AS (
  SELECT
    sort, source, key, path, note_id,
    row_number() OVER (PARTITION BY sort, source, key ORDER BY depth, path, note_id) AS place,
    count(*) OVER (PARTITION BY sort, source, key, depth) AS rivals
  FROM named_lower
), best_lower AS (
  SELECT sort, source, key, path, note_id, CASE WHEN rivals > 1 THEN 1 ELSE 0 END AS tied FROM ranked_lower WHERE place = 1
), written AS (
  SELECT
    link.*,
    note.path AS linking_path,
    regexp_replace(coalesce(note.path, ''), '[^/]*$', '') AS folder,
    coalesce(TRY(url_decode(link.target)), link.target) AS name,
    CASE
      WHEN link.kind = 'autolink' OR link.target LIKE '//%' THEN 1
      WHEN link.target NOT LIKE '%:%' THEN 0
      WHEN regexp_matches(link.target, '^[A-Za-z][A-Za-z0-9+.-]*://') THEN 1
      WHEN link.kind IN ('wikilink', 'embed') THEN 0
      WHEN regexp_matches(link.target, '^[A-Za-z][A-Za-z0-9+.-]+:') THEN 1
      ELSE 0
    END AS leaves
  FROM notes.links AS link
  LEFT JOIN notes.notes AS note ON note.note_id = link.note_id
), wanted AS (
  SELECT
    *,
    replace(regexp_replace(name, '[.](md|markdown)$', ''), '___', '/') AS ending
  FROM written
), rooted AS (
  SELECT
    *,
    CASE WHEN leaves = 0 AND folder <> '' AND ending NOT LIKE '/%'
      THEN regexp_replace('/' || folder || ending, '/([.]?/)+', '/', 'g') END AS below_folder,
    CASE WHEN leaves = 0 THEN regexp_replace('/' || ending, '/([.]?/)+', '/', 'g') END AS below_root
  FROM wanted
), keyed_link AS (
  SELECT
    *,
    CASE WHEN below_folder NOT LIKE '%/../%' THEN below_folder ELSE
      regexp_replace(regexp_replace(regexp_replace(regexp_replace(
      regexp_replace(regexp_replace(regexp_replace(regexp_replace(
        below_folder,
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/')
    END AS from_folder,
    CASE WHEN below_root NOT LIKE '%/../%' THEN below_root ELSE
      regexp_replace(regexp_replace(regexp_replace(regexp_replace(
      regexp_replace(regexp_replace(regexp_replace(regexp_replace(
        below_root,
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/'),
        '/([^/.][^/]*|[.][^/.][^/]*|[.][.][^/]+)/[.][.]/', '/')
    END AS from_root
  FROM rooted
), found AS (
  SELECT
    link.*,
    CASE
      WHEN leaves = 1 THEN 'external'
      WHEN link.target = '' THEN 'exact'
      WHEN r1.path IS NOT NULL THEN CASE WHEN r1.tied = 1 THEN 'ambiguous' ELSE 'relative' END
      WHEN r2.path IS NOT NULL THEN CASE WHEN r2.tied = 1 THEN 'ambiguous' ELSE 'exact' END
      WHEN r3.path IS NOT NULL THEN CASE WHEN r3.tied = 1 THEN 'ambiguous' ELSE 'alias' END
      WHEN r4.path IS NOT NULL THEN CASE WHEN r4.tied = 1 THEN 'ambiguous' ELSE 'shortest' END
      WHEN r5.path IS NOT NULL THEN CASE WHEN r5.tied = 1 THEN 'ambiguous' ELSE 'alias' END
      ELSE CASE coalesce(c1.tied, c2.tied, c3.tied, c4.tied, c5.tied)
        WHEN 1 THEN 'ambiguous' WHEN 0 THEN 'case' ELSE 'missing' END
    END AS resolution,
    coalesce(
      r1.note_id, r2.note_id, r3.note_id, r4.note_id, r5.note_id,
      c1.note_id, c2.note_id, c3.note_id, c4.note_id, c5.note_id
    ) AS found_note_id,
    coalesce(
      r1.path, r2.path, r3.path, r4.path, r5.path, c1.path, c2.path, c3.path, c4.path, c5.path
    ) AS found_path
  FROM keyed_link AS link
  LEFT JOIN best AS r1 ON r1.sort = 'path' AND r1.source = link.source AND r1.key = link.from_folder
  LEFT JOIN best AS r2 ON r2.sort = 'path' AND r2.source = link.source AND r2.key = link.from_root
  LEFT JOIN best AS r3 ON r3.sort = 'alias' AND r3.source = link.source AND r3.key = link.name
  LEFT JOIN best AS r4 ON r4.sort = 'ending' AND r4.source = link.source AND r4.key = link.ending
  LEFT JOIN best AS r5 ON r5.sort = 'title' AND r5.source = link.source AND r5.key = link.name
  LEFT JOIN best_lower AS c1 ON c1.sort = 'path' AND c1.source = link.source AND c1.key = lower(link.from_folder)
  LEFT JOIN best_lower AS c2 ON c2.sort = 'path' AND c2.source = link.source AND c2.key = lower(link.from_root)
  LEFT JOIN best_lower AS c3 ON c3.sort = 'alias' AND c3.source = link.source AND c3.key = lower(link.name)
  LEFT JOIN best_lower AS c4 ON c4.sort = 'ending' AND c4.source = link.source AND c4.key = lower(link.ending)
  LEFT JOIN best_lower AS c5 ON c5.sort = 'title' AND c5.source = link.source AND c5.key = lower(link.name)
)
SELECT
  note_id, source, ordinal, kind, target, fragment, text, line, byte_start, byte_end, resolution,
  CASE
    WHEN resolution IN ('external', 'missing') THEN NULL
    WHEN target = '' THEN note_id
    ELSE nullif(found_note_id, '')
  END AS target_note_id,
  CASE
    WHEN resolution IN ('external', 'missing') THEN NULL
    WHEN target = '' THEN linking_path
    ELSE found_path
  END AS target_path
FROM found
