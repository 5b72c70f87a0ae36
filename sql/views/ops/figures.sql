-- A row is: a figure of a batch: how many rows, how many without a value, the ends of a column, how old the newest is.
-- source: Name of the source
-- suite: The table it is about: raw.<source> as it arrived, or a table of the notes as it was written
-- figure: count (rows), standing (rows of the source in the table after the batch), nulls (percent), min, max, or age (hours from the newest time in a column to the landing)
-- column_name: The column; null where it is about rows
-- value: The figure
-- rows: Rows it was taken from; null for counts
-- batch_id: The batch
-- audited_at: When the batch ran (UTC)
SELECT
  source, suite,
  regexp_extract(expectation, '^([a-z]+)[(]', 1) AS figure,
  nullif(regexp_extract(expectation, '^[a-z]+[(](.*)[)]$', 1), '*') AS column_name,
  observed AS value, rows, batch_id, audited_at
FROM ops.audits
WHERE rule = 'figure'
