-- A row is: a rule that is watched, and did not hold when it was judged last. It refused nothing.
-- source: Name of the source
-- suite: The suite it is in
-- expectation: Its name in the suite
-- bad: Rows that broke it; 1 for a rule about all of them
-- rows: Rows it looked at
-- batch_id: The batch
-- audited_at: When the batch ran (UTC)
WITH judged AS (
  SELECT
    *, row_number() OVER (PARTITION BY source, suite, expectation ORDER BY audited_at DESC, batch_id DESC) AS place
  FROM ops.audits
  WHERE rule = 'watch'
)
SELECT source, suite, expectation, bad, rows, batch_id, audited_at
FROM judged
WHERE place = 1 AND NOT success
