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
--   1. external: an address with a scheme, one that begins with //, an autolink. In a wikilink or embed only
--      `scheme://` counts, since note names hold colons.
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
  SELECT sort, source, key, path, note_id, CASE WHEN rivals > 1 THEN 1 ELSE 0 END AS tied
  FROM ranked_lower WHERE place = 1
), origin AS (
  SELECT note_id, path, regexp_replace(path, '[^/]*$', '') AS folder FROM notes.notes
), written AS (
  SELECT
    link.*,
    origin.path AS linking_path,
    coalesce(origin.folder, '') AS folder,
    CASE
      WHEN position('%' IN link.target) > 0 THEN coalesce(TRY(url_decode(link.target)), link.target)
      ELSE link.target
    END AS name,
    CASE
      WHEN link.kind = 'autolink' OR link.target LIKE '//%' THEN 1
      WHEN link.target NOT LIKE '%:%' THEN 0
      WHEN regexp_matches(link.target, '^[A-Za-z][A-Za-z0-9+.-]*://') THEN 1
      WHEN link.kind IN ('wikilink', 'embed') THEN 0
      WHEN regexp_matches(link.target, '^[A-Za-z][A-Za-z0-9+.-]+:') THEN 1
      ELSE 0
    END AS leaves
  FROM notes.links AS link
  LEFT JOIN origin ON origin.note_id = link.note_id
), wanted AS (
  SELECT
    *,
    replace(
      CASE
        WHEN name LIKE '%.md' OR name LIKE '%.markdown' THEN regexp_replace(name, '[.](md|markdown)$', '')
        ELSE name
      END,
      '___', '/'
    ) AS ending
  FROM written
), rooted AS (
  SELECT
    *,
    CASE
      WHEN leaves = 1 OR folder = '' OR ending LIKE '/%' THEN NULL
      WHEN ending NOT LIKE './%' AND ending NOT LIKE '%//%' AND ending NOT LIKE '%/./%' THEN '/' || folder || ending
      ELSE regexp_replace('/' || folder || ending, '/([.]?/)+', '/', 'g')
    END AS below_folder,
    CASE
      WHEN leaves = 1 THEN NULL
      WHEN ending NOT LIKE './%' AND ending NOT LIKE '/%' AND ending NOT LIKE '%//%' AND ending NOT LIKE '%/./%'
        THEN '/' || ending
      ELSE regexp_replace('/' || ending, '/([.]?/)+', '/', 'g')
    END AS below_root
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
), as_written AS (
  SELECT
    link.*,
    CASE
      WHEN leaves = 1 THEN 'external'
      WHEN target = '' THEN 'exact'
      WHEN r1.tied = 0 THEN 'relative'
      WHEN r1.tied = 1 THEN 'ambiguous'
      WHEN r2.tied = 0 THEN 'exact'
      WHEN r2.tied = 1 THEN 'ambiguous'
      WHEN r3.tied = 0 THEN 'alias'
      WHEN r3.tied = 1 THEN 'ambiguous'
      WHEN r4.tied = 0 THEN 'shortest'
      WHEN r4.tied = 1 THEN 'ambiguous'
      WHEN r5.tied = 0 THEN 'alias'
      WHEN r5.tied = 1 THEN 'ambiguous'
    END AS step,
    coalesce(r1.note_id, r2.note_id, r3.note_id, r4.note_id, r5.note_id) AS exact_note_id,
    coalesce(r1.path, r2.path, r3.path, r4.path, r5.path) AS exact_path
  FROM keyed_link AS link
  LEFT JOIN best AS r1 ON r1.sort = 'path' AND r1.source = link.source AND r1.key = link.from_folder
  LEFT JOIN best AS r2 ON r2.sort = 'path' AND r2.source = link.source AND r2.key = link.from_root
  LEFT JOIN best AS r3 ON r3.sort = 'alias' AND r3.source = link.source AND r3.key = link.name
  LEFT JOIN best AS r4 ON r4.sort = 'ending' AND r4.source = link.source AND r4.key = link.ending
  LEFT JOIN best AS r5 ON r5.sort = 'title' AND r5.source = link.source AND r5.key = link.name
), lowered AS (
  SELECT
    *,
    CASE WHEN step IS NULL THEN lower(from_folder) END AS from_folder_lower,
    CASE WHEN step IS NULL THEN lower(from_root) END AS from_root_lower,
    CASE WHEN step IS NULL THEN lower(name) END AS name_lower,
    CASE WHEN step IS NULL THEN lower(ending) END AS ending_lower
  FROM as_written
), found AS (
  SELECT
    link.*,
    coalesce(
      step,
      CASE coalesce(c1.tied, c2.tied, c3.tied, c4.tied, c5.tied) WHEN 0 THEN 'case' WHEN 1 THEN 'ambiguous' END,
      'missing'
    ) AS resolution,
    coalesce(exact_note_id, c1.note_id, c2.note_id, c3.note_id, c4.note_id, c5.note_id) AS found_note_id,
    coalesce(exact_path, c1.path, c2.path, c3.path, c4.path, c5.path) AS found_path
  FROM lowered AS link
  LEFT JOIN best_lower AS c1 ON c1.sort = 'path' AND c1.source = link.source AND c1.key = link.from_folder_lower
  LEFT JOIN best_lower AS c2 ON c2.sort = 'path' AND c2.source = link.source AND c2.key = link.from_root_lower
  LEFT JOIN best_lower AS c3 ON c3.sort = 'alias' AND c3.source = link.source AND c3.key = link.name_lower
  LEFT JOIN best_lower AS c4 ON c4.sort = 'ending' AND c4.source = link.source AND c4.key = link.ending_lower
  LEFT JOIN best_lower AS c5 ON c5.sort = 'title' AND c5.source = link.source AND c5.key = link.name_lower
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
