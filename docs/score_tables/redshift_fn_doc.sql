-- The table that Redshift's page on window functions defines.
CREATE TABLE winsales AS SELECT * FROM (VALUES
  (30001, DATE '2003-08-02', 3, 'b', 10, 10), (10001, DATE '2003-12-24', 1, 'c', 10, 10), (10005, DATE '2003-12-24', 1, 'a', 30, NULL),
  (40001, DATE '2004-01-09', 4, 'a', 40, NULL), (10006, DATE '2004-01-18', 1, 'c', 10, NULL), (20001, DATE '2004-02-12', 2, 'b', 20, 20),
  (40005, DATE '2004-02-12', 4, 'a', 10, 10), (20002, DATE '2004-02-16', 2, 'c', 20, 20), (30003, DATE '2004-04-18', 3, 'b', 15, NULL),
  (30004, DATE '2004-04-18', 3, 'b', 20, NULL), (30007, DATE '2004-09-07', 3, 'c', 30, NULL))
  AS t(salesid, dateid, sellerid, buyerid, qty, qty_shipped);
