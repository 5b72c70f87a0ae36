-- A row is: a figure of a source's newest batch that is far from what it was before, or a source that has been silent for far longer than it used to.
-- source: Name of the source
-- suite: The table it is about; of a silence raw.<source>
-- figure: count, standing (both rows), nulls (percent), age (hours), or silence (hours since the newest batch)
-- column_name: The column; null where it is about rows
-- value: The figure
-- usual: Its median in the batches before
-- least: The least that would have been no anomaly
-- most: The most that would have been none
-- batches: How many batches before it was compared with: 8 to 30
-- batch_id: The batch; of a silence the newest
-- audited_at: When the batch ran (UTC)
--
-- Only in DuckDB: medians of windows.
--
-- Compared is with the median and the median distance from it (MAD), of at least 8 and at most 30 batches before, so
-- that a first load or an odd batch among them moves little. Rows and hours go by their logarithm. Far is more than
-- 5 standard deviations (1.4826 MAD each), and never less than three times as much or a third, or 10 points in percent.
-- An age or a silence can be too long only; a share counts where there are 20 rows. The 500 newest batches of a source are looked at.
WITH recent AS (
  SELECT source, batch_id, max(audited_at) AS audited_at
  FROM ops.audits
  GROUP BY source, batch_id
  QUALIFY row_number() OVER (PARTITION BY source ORDER BY max(audited_at) DESC, batch_id DESC) <= 500
), told AS (
  SELECT figure.source, suite, figure, column_name, value, figure.batch_id, figure.audited_at
  FROM ops.figures AS figure
  JOIN recent ON recent.source = figure.source AND recent.batch_id = figure.batch_id
  WHERE figure IN ('count', 'standing', 'age') OR (figure = 'nulls' AND rows >= 20)
  UNION ALL
  SELECT
    source, 'raw.' || source, 'silence', NULL,
    (epoch(coalesce(lead(audited_at) OVER later, current_timestamp)) - epoch(audited_at)) / 3600, batch_id, audited_at
  FROM recent
  WINDOW later AS (PARTITION BY source ORDER BY audited_at, batch_id)
), scaled AS (
  SELECT
    *, CASE WHEN figure = 'nulls' THEN value ELSE ln(1 + greatest(value, 0)) END AS x,
    CASE WHEN figure = 'nulls' THEN 10 ELSE ln(3) END AS room
  FROM told
), compared AS (
  SELECT
    *, median(x) OVER before AS middle, mad(x) OVER before AS spread, count(x) OVER before AS batches,
    row_number() OVER (
      PARTITION BY source, suite, figure, column_name ORDER BY audited_at DESC, batch_id DESC
    ) = 1 AS is_last
  FROM scaled
  WINDOW before AS (
    PARTITION BY source, suite, figure, column_name ORDER BY audited_at, batch_id
    ROWS BETWEEN 30 PRECEDING AND 1 PRECEDING
  )
), ranged AS (
  SELECT
    *, greatest(5 * 1.4826 * spread, room) AS far,
    CASE WHEN figure IN ('age', 'silence') THEN 0 ELSE middle - greatest(5 * 1.4826 * spread, room) END AS from_x
  FROM compared
  WHERE is_last AND batches >= 8
)
SELECT
  source, suite, figure, column_name, value,
  CASE WHEN figure = 'nulls' THEN middle ELSE exp(middle) - 1 END AS usual,
  CASE WHEN figure = 'nulls' THEN greatest(from_x, 0) ELSE greatest(exp(from_x) - 1, 0) END AS least,
  CASE WHEN figure = 'nulls' THEN least(middle + far, 100) ELSE exp(middle + far) - 1 END AS most,
  batches, batch_id, audited_at
FROM ranged
WHERE x > middle + far OR x < from_x
