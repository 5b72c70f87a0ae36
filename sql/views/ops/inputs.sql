-- A row is: an input of a source (a file or a shard), and what became of it when it was last looked at.
-- source: Name of the source
-- path: The input: a file of the source, or a shard
-- op: What was seen: put, move, gone, unreadable, rows or events
-- status: parsed, partial, quarantined, discarded, failed or removed
-- is_bad: True if it came through only in part or not at all: partial, quarantined or failed
-- parser: What read it
-- encoding: Encoding of its text; null if it is no text
-- dropped: Constructs that were not understood, as JSON; null if none
-- dropped_count: How many of them there are in all
-- error: What went wrong, in words
-- line: Line of the first error, else of the first construct that was not understood, from 1
-- bytes: Size of the input in bytes
-- characters_in: Characters of the text in the file; null if it is no text
-- characters_out: Characters in the bodies of the notes it became; null if none
-- sequence: First arrival in raw.<source>
-- batch_id: The batch
-- recorded_at: When the batch ran (UTC)
--
-- Only in DuckDB: sums over a JSON array.
--
-- ops.ledger has the earlier rows too.
WITH ranked AS (
  SELECT
    *,
    row_number() OVER (PARTITION BY source, path ORDER BY recorded_at DESC, sequence DESC) AS place,
    CASE WHEN json_valid(dropped) THEN CAST(json_extract(dropped, '$[*].count') AS BIGINT[]) END AS counts,
    CASE WHEN json_valid(dropped) THEN CAST(json_extract(dropped, '$[*].line') AS BIGINT[]) END AS lines
  FROM ops.ledger
)
SELECT
  source, path, op, status, status IN ('partial', 'quarantined', 'failed') AS is_bad, parser, encoding, dropped,
  CAST(coalesce(list_sum(counts), 0) AS BIGINT) AS dropped_count, error, coalesce(line, list_min(lines)) AS line,
  bytes, characters_in, characters_out, sequence, batch_id, recorded_at
FROM ranked
WHERE place = 1
