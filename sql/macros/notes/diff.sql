-- A row is: a line that one version of a note has and the other has not, in the order of the lines.
-- Takes note: The note_id
-- Takes v1 [NULL]: Number of the older version; the one before `v2` if it is null
-- Takes v2 [NULL]: Number of the newer version; the newest with a text if it is null
-- sign: - for a line of the older version, + for one of the newer
-- line: Its number in that version, from 1
-- text: The line
--
-- Lines are told apart by their text and by how often it came before: a line that only moved is no change. For what
-- patch reads, see `notelake diff`.
WITH texts AS (
  SELECT version, text FROM notes.version_texts WHERE note_id = note AND text IS NOT NULL
), newer AS (
  SELECT max(version) AS version FROM texts WHERE v2 IS NULL OR version = v2
), older AS (
  SELECT max(texts.version) AS version FROM texts JOIN newer ON texts.version < newer.version OR v1 IS NOT NULL
  WHERE v1 IS NULL OR texts.version = v1
), sides AS (
  SELECT '-' AS sign, texts.text FROM texts JOIN older ON older.version = texts.version
  UNION ALL
  SELECT '+' AS sign, texts.text FROM texts JOIN newer ON newer.version = texts.version
), split AS (
  SELECT sign, string_split(replace(regexp_replace(text, '\r?\n$', ''), chr(13) || chr(10), chr(10)), chr(10)) AS lines
  FROM sides
), numbered AS (
  SELECT sign, unnest(lines) AS text, generate_subscripts(lines, 1) AS line FROM split
), occurring AS (
  SELECT sign, text, line, row_number() OVER (PARTITION BY sign, text ORDER BY line) AS occurrence FROM numbered
)
SELECT a.sign, CAST(a.line AS BIGINT) AS line, a.text
FROM occurring AS a
LEFT JOIN occurring AS b ON b.sign <> a.sign AND b.text = a.text AND b.occurrence = a.occurrence
WHERE b.sign IS NULL
ORDER BY a.line, a.sign DESC
