-- A row is: a link, image or embed, and where it leads.
-- note_id: The note it stands in
-- source: Name of the source
-- ordinal: Its place among the note's links, from 0
-- kind: wikilink, markdown, reference, autolink, html, image, embed or block
-- target: What it points to as written, without fragment
-- fragment: Heading or block after #, without the #; null if none
-- text: Text shown for it
-- line: Line in the source file, from 1
-- byte_start: First byte in the source file, from 0
-- byte_end: Byte after the last, so that file[byte_start:byte_end] is the text
-- resolution: How it was found: exact, alias, shortest, relative or case; ambiguous, missing or external
-- target_source: Source of the note or attachment it leads to; null where nothing was found
-- target_note_id: The note it leads to; null for an attachment and where nothing was found
-- target_path: Path of the note or attachment it leads to; null where nothing was found
-- fragment_resolution: What the fragment is in that note: heading or block; missing if there is none; else null
-- target_section: The section it leads to, by its ordinal in notes.sections; null if to none
-- target_line: Line of that heading or block in its source file, from 1; null if to none
--
-- Only in DuckDB: un-nested lists, look-ups in lists, and patterns of RE2.
--
-- The rule, among the notes and attachments of the link's own source; the first step that finds something decides:
--   1. external: an address with a scheme, one that begins with //, an autolink. In a wikilink or embed only
--      `scheme://` counts, since note names hold colons.
--   2. An empty target ([[#Heading]]) is the note itself: exact.
--   3. relative: a file within the note's own file, as in a DOCX or an ENEX.
--   4. exact: the path from the root of the source.
--   5. relative: the path from the folder of the linking note; up to eight steps `..` are followed.
--   6. shortest: the last one to four parts of its path, as Obsidian writes them.
--   7. alias: a name the note says it answers to; its title; the name Logseq gives its file, which is the day of a
--      journal (`journals/2024_01_05.md`: Jan 5th, 2024, 2024-01-05 or 2024_01_05) and, of a page, its path with `.`
--      for `/` (`pages/a.b.md`), as early versions wrote it.
--   8. case: steps 4 to 7 again, upper and lower case being the same.
--   9. In another source: exact, shortest or alias, upper and lower case being the same; only if one note alone has it.
--  10. missing.
-- Wikilinks and embeds take these steps as they are: it is what Obsidian 1.13 does, as observed, with alias and title
-- for those who use them. All other links put step 5 before 4, as GitHub and site generators do, may lead to a folder,
-- which is its index, readme or _index, and have no steps 7 and 9. `[text]([[Page]])` is a wikilink.
-- A link to a note in Evernote goes by its text, in steps 7 to 9: exports don't hold the ids such links are made of.
-- A block reference leads to the note that has that block: exact.
-- A path from the root, `/a/b`, that is not found is an address on the site where the notes are published, and thus
-- external, if no file of the source lies below its first part and it does not end as Markdown does.
-- `.md` and the like may be left out, %20 and the like are read, `___` is Logseq's `/` in file names.
-- If a step finds several, the one with the shortest path is taken, then the first in path order. The link is ambiguous
-- unless that one alone lies in the fewest folders. dagster_project/model/links.py says the same in Python.
--
-- A fragment is a block (`^id`), else the anchor of a heading, else an id in HTML, else the text of a heading without
-- punctuation, upper and lower case being the same. `A#B` is a heading B somewhere below a heading A. A place in a PDF,
-- a film or a page (`page=3`, `:~:text`, `top`) is none of these and stays null; so does what is not found in a note
-- that is no Markdown.
--
-- Every step is one lookup of a key that was computed before: the cost follows the number of links, not their product
-- with the notes. A file goes by its number here, in order of preference: of several, the lowest is the one.
WITH held AS (
  SELECT DISTINCT note_id, source, path FROM notes.attachments
), listed AS (
  SELECT source, note_id, path, title, aliases FROM notes.notes
  UNION ALL
  SELECT DISTINCT source, NULL, path, NULL, NULL FROM held
), file AS (
  SELECT
    *,
    row_number() OVER (ORDER BY length(path), path, source, note_id) AS number,
    CASE WHEN note_id IS NULL THEN 0 ELSE 1 END AS is_note,
    least(length(path) - length(replace(path, '/', '')), 1023) AS depth
  FROM listed
), cut AS (
  SELECT 'path' AS sort, source, '/' || path AS written, number, is_note, depth FROM file
  UNION ALL
  SELECT
    'ending', source,
    unnest([
      regexp_extract(path, '[^/]+$'),
      regexp_extract(path, '[^/]+/[^/]+$'),
      regexp_extract(path, '[^/]+/[^/]+/[^/]+$'),
      regexp_extract(path, '[^/]+/[^/]+/[^/]+/[^/]+$')
    ]),
    number, is_note, depth
  FROM file
), keyed AS (
  SELECT
    sort, source, number, is_note, depth,
    replace(
      regexp_replace(
        CASE WHEN position('%' IN written) > 0 THEN coalesce(TRY(url_decode(written)), written) ELSE written END,
        '(?i)[.](md|markdown|mdown|mkd|mdx)$', ''
      ),
      '___', '/'
    ) AS key
  FROM cut
  WHERE written <> ''
), front AS (
  SELECT
    keyed.source, keyed.number, keyed.is_note, keyed.depth, regexp_replace(keyed.key, '[^/]*$', '') AS folder,
    CASE regexp_extract(lower(file.path), '([^/.]+)[.][a-z]+$', 1) WHEN 'index' THEN 1 WHEN 'readme' THEN 2 ELSE 3 END
      AS step
  FROM file
  JOIN keyed ON keyed.number = file.number AND keyed.sort = 'path'
  WHERE file.is_note = 1
    AND regexp_matches(file.path, '(?i)(^|/)(index|readme|_index)[.](md|markdown|mdown|mkd|mdx)$')
), page AS (
  SELECT
    source, number, is_note, depth,
    replace(
      regexp_extract(path, '(?i)(?:^|/)pages/([^/]*[.][^/]*)[.](?:md|markdown|mdown|mkd|mdx)$', 1), '.', '/'
    ) AS key
  FROM file
  WHERE is_note = 1
), journal AS (
  SELECT
    source, number, is_note, depth,
    try_strptime(
      replace(regexp_extract(
        path, '(?i)(?:^|/)journals/([12][0-9]{3}[_-][0-9]{2}[_-][0-9]{2})[.](?:md|markdown|mdown|mkd|mdx)$', 1
      ), '_', '-'),
      '%Y-%m-%d'
    ) AS day
  FROM file
  WHERE is_note = 1 AND contains(lower(path), 'journals/')
), named AS (
  SELECT sort, source, key, 0 AS step, number, is_note, depth FROM keyed
  UNION ALL
  SELECT 'path', source, unnest([folder, regexp_replace(folder, '/$', '')]), step, number, is_note, depth FROM front
  UNION ALL
  SELECT DISTINCT 'name', source, nfc_normalize(unnest(aliases)), 0, number, is_note, depth FROM file
  UNION ALL
  SELECT 'name', source, nfc_normalize(title), 1, number, is_note, depth FROM file
  UNION ALL
  SELECT 'name', source, key, 2, number, is_note, depth FROM page
  UNION ALL
  SELECT
    'name', source,
    unnest([
      strftime(day, '%Y-%m-%d'),
      strftime(day, '%Y_%m_%d'),
      strftime(day, '%b ') || day(day)
        || CASE
          WHEN day(day) IN (1, 21, 31) THEN 'st' WHEN day(day) IN (2, 22) THEN 'nd' WHEN day(day) IN (3, 23) THEN 'rd'
          ELSE 'th'
        END
        || strftime(day, ', %Y')
    ]),
    2, number, is_note, depth
  FROM journal
), folded AS (
  SELECT 0 AS fold, * FROM named WHERE key <> ''
  UNION ALL
  SELECT DISTINCT 1, sort, source, lower(key), step, number, is_note, depth FROM named WHERE key <> ''
), level AS (
  SELECT
    fold, sort, source, key, step * 1024 + depth AS level,
    least(count(*), 2) AS several,
    min(((step * 4294967296 + number) * 2 + is_note) * 1024 + depth) AS first
  FROM folded
  GROUP BY ALL
), chosen AS (
  SELECT fold, sort, source, key, min(level * 4 + several) AS flattest, min(first) AS first FROM level GROUP BY ALL
), best AS (
  SELECT
    fold, sort, source, key,
    first // 8796093022208 AS step,
    (first // 2048) % 4294967296 AS number,
    (first // 1024) % 2 AS is_note,
    CASE WHEN flattest % 4 > 1 OR first % 1024 > (flattest // 4) % 1024 THEN 1 ELSE 0 END AS tied
  FROM chosen
), elsewhere AS (
  SELECT sort, key, CASE WHEN count(*) = 1 AND max(tied) = 0 THEN min(number) ELSE -1 END AS number
  FROM best
  WHERE fold = 1 AND is_note = 1 AND (sort <> 'path' OR step = 0)
  GROUP BY ALL
), block AS (
  SELECT
    note_id, source,
    CASE WHEN kind = 'block' THEN '^' || lower(name) ELSE lower(name) END AS id,
    min({'ordinal': ordinal, 'line': line}).line AS line
  FROM notes.blocks
  WHERE kind IN ('block', 'anchor') AND name IS NOT NULL
  GROUP BY ALL
), block_best AS (
  SELECT block.source, block.id, min(file.number) AS number, CASE WHEN count(*) > 1 THEN 1 ELSE 0 END AS tied
  FROM block
  JOIN file ON file.note_id = block.note_id
  GROUP BY ALL
), block_elsewhere AS (
  SELECT id, CASE WHEN count(*) = 1 AND max(tied) = 0 THEN min(number) END AS number FROM block_best GROUP BY ALL
), origin AS (
  SELECT
    note.note_id, note.path, regexp_replace(note.path, '[^/]*$', '') AS folder,
    CASE WHEN holder.note_id IS NOT NULL THEN
      replace(coalesce(TRY(url_decode('/' || note.path || '/')), '/' || note.path || '/'), '___', '/')
    END AS inside
  FROM file AS note
  LEFT JOIN (SELECT DISTINCT note_id FROM held) AS holder ON holder.note_id = note.note_id
  WHERE note.note_id IS NOT NULL
), written AS (
  SELECT
    link.note_id, link.source, link.ordinal, link.kind, link.target, link.fragment, link.text, link.line,
    link.byte_start, link.byte_end,
    CASE
      WHEN link.target LIKE '[[%]]' THEN substring(link.target, 3, length(link.target) - 4)
      ELSE link.target
    END AS bare,
    origin.path AS linking_path,
    coalesce(origin.folder, '') AS folder,
    origin.inside,
    CASE
      WHEN link.kind = 'block' OR link.target LIKE '((%))' THEN 'block'
      WHEN link.kind = 'autolink' OR link.target LIKE '//%' THEN 'address'
      WHEN link.kind IN ('wikilink', 'embed') OR link.target LIKE '[[%]]' THEN
        CASE
          WHEN position(':' IN link.target) > 0 AND regexp_matches(link.target, '^[A-Za-z][A-Za-z0-9+.-]*://')
            THEN 'address'
          ELSE 'page'
        END
      WHEN position(':' IN link.target) = 0 THEN 'path'
      WHEN regexp_matches(
        link.target, '^(evernote:///|https://([a-z]+[.])?evernote[.]com/shard/[^/]+/nl/)'
      ) THEN 'title'
      WHEN regexp_matches(link.target, '^[A-Za-z][A-Za-z0-9+.-]+:|^[A-Za-z]://') THEN 'address'
      ELSE 'path'
    END AS manner
  FROM notes.links AS link
  LEFT JOIN origin ON origin.note_id = link.note_id
), read AS (
  SELECT
    *,
    nfc_normalize(
      CASE
        WHEN manner = 'title' THEN text
        WHEN position('%' IN bare) > 0 THEN coalesce(TRY(url_decode(bare)), bare)
        ELSE bare
      END
    ) AS said
  FROM written
), wanted AS (
  SELECT
    *,
    CASE WHEN manner IN ('page', 'title') THEN said END AS name,
    CASE WHEN manner IN ('page', 'path') THEN
      replace(
        CASE
          WHEN position('.' IN said) > 0 THEN regexp_replace(said, '(?i)[.](md|markdown|mdown|mkd|mdx)$', '')
          ELSE said
        END,
        '___', '/'
      )
    END AS ending
  FROM read
), parted AS (
  -- chr(1) stands for a part `..`, since no pattern tells that from a name without looking ahead
  SELECT
    *,
    CASE WHEN contains(below, './') OR contains('/' || below, '//') THEN
      replace(replace(replace('/' || below, '/', '//'), '/../', '/' || chr(1) || '/'), '//', '/')
    END AS parts
  FROM (
    SELECT *, CASE WHEN regexp_matches(ending, '(^|/)[.][.]?$') THEN ending || '/' ELSE ending END AS below FROM wanted
  )
), tidied AS (
  -- without empty parts and `.`, and without names that a `..` takes back, up to eight within each other
  SELECT
    *,
    CASE
      WHEN parts IS NULL THEN '/' || below
      WHEN length(parts) - length(replace(parts, chr(1), '')) <= 8 THEN
        regexp_replace(
          regexp_replace(parts, '/([.]?/)+', '/', 'g'),
          '/(' || repeat('[^/\x01]+/(', 8) || repeat(')*\x01/', 8) || ')+', '/', 'g'
        )
    END AS tidy
  FROM parted
), climbing AS (
  -- the `..` that are left lead up from the folder of the note
  SELECT *, CASE WHEN parts IS NULL THEN 0 ELSE length(regexp_extract(tidy, '^/(\x01/)*')) // 2 END AS up FROM tidied
), collapsed AS (
  SELECT
    * EXCLUDE (below, parts, tidy, up),
    CASE
      WHEN folder = '' OR below LIKE '/%' THEN NULL
      WHEN up = 0 THEN '/' || folder || substring(tidy, 2)
      WHEN up < len(string_split(folder, '/')) THEN
        '/' || array_to_string(string_split(folder, '/')[1 : -2 - up] || [substring(tidy, 2 + 2 * up)], '/')
    END AS from_folder,
    CASE WHEN up = 0 THEN tidy END AS from_root
  FROM climbing
), keyed_link AS (
  SELECT
    *,
    CASE WHEN manner = 'page' THEN from_root ELSE from_folder END AS first_key,
    CASE WHEN manner = 'page' THEN from_folder ELSE from_root END AS second_key,
    CASE WHEN manner = 'page' THEN 0 ELSE 3 END AS folders,
    inside || ending AS inside_key,
    lower(CASE WHEN manner = 'block' THEN '^' || regexp_replace(target, '^[(]+|[)]+$', '', 'g') END) AS block_id
  FROM collapsed
), as_written AS (
  SELECT
    link.*,
    CASE
      WHEN manner = 'address' THEN 'external'
      WHEN target = '' THEN 'exact'
      WHEN r0.number IS NOT NULL THEN 'relative'
      WHEN coalesce(r1.tied, r2.tied, r3.tied, r4.tied, b.tied) = 1 THEN 'ambiguous'
      WHEN r1.number IS NOT NULL THEN CASE WHEN manner = 'page' THEN 'exact' ELSE 'relative' END
      WHEN r2.number IS NOT NULL THEN CASE WHEN manner = 'page' THEN 'relative' ELSE 'exact' END
      WHEN r3.number IS NOT NULL THEN 'shortest'
      WHEN r4.number IS NOT NULL THEN 'alias'
      WHEN b.number IS NOT NULL THEN 'exact'
    END AS step,
    coalesce(r0.number, r1.number, r2.number, r3.number, r4.number, b.number) AS exact_number
  FROM keyed_link AS link
  LEFT JOIN best AS r0
    ON r0.fold = 0 AND r0.sort = 'path' AND r0.source = link.source AND r0.key = link.inside_key AND r0.step = 0
  LEFT JOIN best AS r1
    ON r1.fold = 0 AND r1.sort = 'path' AND r1.source = link.source AND r1.key = link.first_key
    AND r1.step <= link.folders
  LEFT JOIN best AS r2
    ON r2.fold = 0 AND r2.sort = 'path' AND r2.source = link.source AND r2.key = link.second_key
    AND r2.step <= link.folders
  LEFT JOIN best AS r3 ON r3.fold = 0 AND r3.sort = 'ending' AND r3.source = link.source AND r3.key = link.ending
  LEFT JOIN best AS r4 ON r4.fold = 0 AND r4.sort = 'name' AND r4.source = link.source AND r4.key = link.name
  LEFT JOIN block_best AS b ON b.source = link.source AND b.id = link.block_id
), lowered AS (
  SELECT
    *,
    CASE WHEN step IS NULL THEN lower(first_key) END AS first_lower,
    CASE WHEN step IS NULL THEN lower(second_key) END AS second_lower,
    CASE WHEN step IS NULL THEN lower(ending) END AS ending_lower,
    CASE WHEN step IS NULL THEN lower(name) END AS name_lower,
    CASE WHEN step IS NULL THEN block_id END AS lone_block
  FROM as_written
), top AS (
  SELECT DISTINCT source, lower(split_part(path, '/', 1)) AS name FROM file
), in_source AS (
  SELECT
    link.*,
    coalesce(
      link.step,
      CASE coalesce(c1.tied, c2.tied, c3.tied, c4.tied) WHEN 0 THEN 'case' WHEN 1 THEN 'ambiguous' END
    ) AS found_step,
    coalesce(exact_number, c1.number, c2.number, c3.number, c4.number) AS found_number
  FROM lowered AS link
  LEFT JOIN best AS c1
    ON c1.fold = 1 AND c1.sort = 'path' AND c1.source = link.source AND c1.key = link.first_lower
    AND c1.step <= link.folders
  LEFT JOIN best AS c2
    ON c2.fold = 1 AND c2.sort = 'path' AND c2.source = link.source AND c2.key = link.second_lower
    AND c2.step <= link.folders
  LEFT JOIN best AS c3 ON c3.fold = 1 AND c3.sort = 'ending' AND c3.source = link.source AND c3.key = link.ending_lower
  LEFT JOIN best AS c4 ON c4.fold = 1 AND c4.sort = 'name' AND c4.source = link.source AND c4.key = link.name_lower
), lone AS (
  SELECT
    * EXCLUDE (first_lower, ending_lower, name_lower, lone_block),
    CASE WHEN found_step IS NULL AND manner = 'page' THEN first_lower END AS lone_path,
    CASE WHEN found_step IS NULL AND manner = 'page' THEN ending_lower END AS lone_ending,
    CASE WHEN found_step IS NULL THEN name_lower END AS lone_name,
    CASE WHEN found_step IS NULL THEN lone_block END AS lone_block,
    CASE
      WHEN found_step IS NULL AND manner = 'path' AND target LIKE '/%'
        AND NOT regexp_matches(said, '(?i)[.](md|markdown|mdown|mkd|mdx)$')
        THEN lower(regexp_extract(said, '^/+([^/]*)', 1))
    END AS lone_top
  FROM in_source
), sought AS (
  SELECT
    link.note_id, link.source, link.ordinal, link.kind, link.target, link.fragment, link.text, link.line,
    link.byte_start, link.byte_end, link.linking_path, link.block_id,
    CASE
      WHEN link.found_step IS NOT NULL THEN link.found_step
      WHEN x1.number > 0 THEN 'exact'
      WHEN x1.number IS NULL AND x2.number > 0 THEN 'shortest'
      WHEN x1.number IS NULL AND x2.number IS NULL AND x3.number > 0 THEN 'alias'
      WHEN x4.number IS NOT NULL THEN 'exact'
      WHEN link.manner = 'title' AND link.target LIKE 'https:%' THEN 'external'
      WHEN link.lone_top IS NOT NULL AND top.name IS NULL THEN 'external'
      ELSE 'missing'
    END AS resolution,
    coalesce(link.found_number, x1.number, x2.number, x3.number, x4.number) AS number
  FROM lone AS link
  LEFT JOIN elsewhere AS x1 ON x1.sort = 'path' AND x1.key = link.lone_path
  LEFT JOIN elsewhere AS x2 ON x2.sort = 'ending' AND x2.key = link.lone_ending
  LEFT JOIN elsewhere AS x3 ON x3.sort = 'name' AND x3.key = link.lone_name
  LEFT JOIN block_elsewhere AS x4 ON x4.id = link.lone_block
  LEFT JOIN top ON top.source = link.source AND top.name = link.lone_top
), found AS (
  SELECT
    link.* EXCLUDE (number, linking_path),
    CASE WHEN link.block_id IS NULL THEN link.fragment END AS place_fragment,
    CASE WHEN link.is_itself THEN link.source ELSE file.source END AS target_source,
    CASE WHEN link.is_itself THEN link.note_id ELSE file.note_id END AS target_note_id,
    CASE WHEN link.is_itself THEN link.linking_path ELSE file.path END AS target_path
  FROM (SELECT *, target = '' AND resolution <> 'external' AS is_itself FROM sought) AS link
  LEFT JOIN file ON file.number = link.number
), place AS (
  SELECT
    note_id, fragment, is_markdown,
    lower(fragment) AS id,
    CASE WHEN fragment NOT LIKE '^%' THEN lower(fragment) END AS anchor,
    CASE WHEN fragment NOT LIKE '^%' THEN
      nullif(regexp_extract(parts, '[^#]*$'), '')
    END AS last,
    CASE WHEN position('#' IN parts) > 0 THEN '%#' || replace(replace(parts, '_', '\_'), '#', '#%#') || '#' END AS trail
  FROM (
    SELECT DISTINCT
      target_note_id AS note_id,
      fragment,
      regexp_matches(target_path, '(?i)[.](md|markdown|mdown|mkd|mdx)$') AS is_markdown,
      regexp_replace(regexp_replace(
        lower(regexp_replace(fragment, '[!"$%&()*+,.:;<=>?@^`{|}~/\[\]\\ \t\r\n]+', ' ', 'g')),
        ' ?(# ?)+', '#', 'g'), '^[# ]+|[# ]+$', '', 'g') AS parts
    FROM found
    WHERE target_note_id IS NOT NULL AND fragment <> '' AND block_id IS NULL
      AND NOT regexp_matches(fragment, '^(?:top$|:~:|(page|height|width|t|zoom|search)=)')
  )
), section AS (
  SELECT
    note_id, ordinal, line, lower(anchor) AS anchor, heading_path,
    trim(lower(regexp_replace(heading, '[!"#$%&()*+,.:;<=>?@^`{|}~/\[\]\\ \t\r\n]+', ' ', 'g'))) AS heading
  FROM notes.sections
  WHERE heading IS NOT NULL
), anchored AS (
  SELECT place.note_id, place.fragment, min({'ordinal': section.ordinal, 'line': section.line}) AS at
  FROM place
  JOIN section ON section.note_id = place.note_id AND section.anchor = place.anchor
  GROUP BY ALL
), headed AS (
  SELECT place.note_id, place.fragment, min({'ordinal': section.ordinal, 'line': section.line}) AS at
  FROM place
  JOIN section ON section.note_id = place.note_id AND section.heading = place.last
    AND (
      place.trail IS NULL
      OR '#' || regexp_replace(
        trim(lower(regexp_replace(
          array_to_string(section.heading_path, chr(1)), '[!"#$%&()*+,.:;<=>?@^`{|}~/\[\]\\ \t\r\n]+', ' ', 'g'
        ))),
        ' ?' || chr(1) || ' ?', '##', 'g'
      ) || '#' LIKE place.trail ESCAPE '\'
    )
  GROUP BY ALL
), placed AS (
  SELECT
    place.note_id, place.fragment,
    CASE
      WHEN anchored.at IS NOT NULL THEN 'heading'
      WHEN block.id IS NOT NULL THEN 'block'
      WHEN headed.at IS NOT NULL THEN 'heading'
      WHEN place.is_markdown THEN 'missing'
    END AS resolution,
    CASE
      WHEN anchored.at IS NOT NULL THEN anchored.at
      WHEN block.id IS NOT NULL THEN {'ordinal': NULL, 'line': block.line}
      ELSE headed.at
    END AS at
  FROM place
  LEFT JOIN block ON block.note_id = place.note_id AND block.id = place.id
  LEFT JOIN anchored ON anchored.note_id = place.note_id AND anchored.fragment = place.fragment
  LEFT JOIN headed ON headed.note_id = place.note_id AND headed.fragment = place.fragment
)
SELECT
  link.note_id, link.source, link.ordinal, link.kind, link.target, link.fragment, link.text, link.line,
  link.byte_start, link.byte_end, link.resolution, link.target_source, link.target_note_id, link.target_path,
  CASE WHEN pointed.id IS NOT NULL THEN 'block' ELSE placed.resolution END AS fragment_resolution,
  placed.at.ordinal AS target_section,
  coalesce(pointed.line, placed.at.line) AS target_line
FROM found AS link
LEFT JOIN placed ON placed.note_id = link.target_note_id AND placed.fragment = link.place_fragment
LEFT JOIN block AS pointed ON pointed.note_id = link.target_note_id AND pointed.id = link.block_id
