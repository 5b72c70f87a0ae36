-- What Spark lacks of the functions the views of sql/views are written with; Athena has them.
-- Run these once in a session whose time zone is UTC (spark.sql.session.timeZone).
CREATE TEMPORARY FUNCTION json_extract_scalar(doc STRING, path STRING) RETURNS STRING
RETURN CASE
  WHEN get_json_object(doc, path) LIKE '{%' OR get_json_object(doc, path) LIKE '[%' THEN NULL
  ELSE get_json_object(doc, path)
END;

CREATE TEMPORARY FUNCTION to_unixtime(ts TIMESTAMP) RETURNS DOUBLE
RETURN unix_micros(ts) / 1e6D;

CREATE TEMPORARY FUNCTION at_timezone(ts TIMESTAMP, zone STRING) RETURNS TIMESTAMP
RETURN from_utc_timestamp(ts, zone);
