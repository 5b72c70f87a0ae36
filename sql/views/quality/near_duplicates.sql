-- A row is: two notes of at least 30 words whose texts are nearly the same, in whatever sources; the newer one first.
-- similarity: Share of runs of three words that they have in common, as estimated; at least 0.8
-- note_id: The newer note: the one that was modified last
-- source: Name of its source
-- path: Where it lies
-- title: Its title
-- modified_at: When it was last modified, as the source says; else when it was first seen (UTC)
-- older_note_id: The older note
-- older_source: Name of its source
-- older_path: Where it lies
-- older_title: Its title
-- older_modified_at: When that was last modified, as the source says; else when it was first seen (UTC)
--
-- Of notes with the same text (see quality.exact_duplicates) the newest stands for all. Two fingerprints are
-- compared if one of their 16 bands of four values is equal: of notes that have 0.8 in common, 9 998 of 10 000 have
-- one. The estimate is off by 0.05 (one standard deviation).
WITH dated AS (
  SELECT
    note.note_id, note.source, note.path, note.title, fingerprint.signature,
    regexp_replace(
      regexp_replace(replace(note.body, chr(13), ''), '^[ ' || chr(9) || chr(10) || chr(12) || ']+', ''),
      '[ ' || chr(9) || chr(10) || chr(12) || ']+$', ''
    ) AS text,
    coalesce(note.modified_at, note.created_at, note.observed_at) AS modified_at
  FROM notes.fingerprints AS fingerprint
  JOIN notes.notes AS note ON note.note_id = fingerprint.note_id
), ranked AS (
  SELECT *, row_number() OVER (PARTITION BY text ORDER BY modified_at DESC, source, path) AS place FROM dated
), one AS (
  SELECT
    *, row_number() OVER (ORDER BY modified_at DESC, source, path) AS age
  FROM ranked
  WHERE place = 1
), sixteen AS (
  SELECT n
  FROM (VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9), (10), (11), (12), (13), (14), (15)) AS counted (n)
), band AS (
  SELECT one.age, number.n, substr(one.signature, 1 + 16 * number.n, 16) AS part
  FROM one CROSS JOIN sixteen AS number
), pair AS (
  SELECT DISTINCT newer.age AS newer, older.age AS older
  FROM band AS newer
  JOIN band AS older ON older.n = newer.n AND older.part = newer.part AND older.age > newer.age
), compared AS (
  SELECT
    pair.newer, pair.older,
    CAST(count(
      CASE WHEN substr(a.signature, 1 + 4 * number.n, 4) = substr(b.signature, 1 + 4 * number.n, 4) THEN 1 END
    ) AS DOUBLE) / 64 AS similarity
  FROM pair
  JOIN one AS a ON a.age = pair.newer
  JOIN one AS b ON b.age = pair.older
  CROSS JOIN (
    SELECT 16 * fours.n + ones.n AS n FROM sixteen AS fours CROSS JOIN sixteen AS ones WHERE fours.n < 4
  ) AS number
  GROUP BY pair.newer, pair.older
)
SELECT
  compared.similarity, a.note_id, a.source, a.path, a.title, a.modified_at,
  b.note_id AS older_note_id, b.source AS older_source, b.path AS older_path, b.title AS older_title,
  b.modified_at AS older_modified_at
FROM compared
JOIN one AS a ON a.age = compared.newer
JOIN one AS b ON b.age = compared.older
WHERE compared.similarity >= 0.8
