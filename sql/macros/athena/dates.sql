-- Macros: fields and differences of dates and timestamps as Athena has them.
--
-- Source: https://trino.io/docs/current/functions/datetime.html. date_add and date_trunc keep the type of what they are given
-- and date_format has patterns of its own: they are the translator's.

-- Macro date_diff
-- Gives: how many whole units lie between two timestamps
-- Takes unit: second, minute, hour, day, week, month, quarter or year
-- Takes first: The first
-- Takes last: The last
-- Example: date_diff('day', TIMESTAMP '2020-01-01 12:00:00', TIMESTAMP '2020-01-03 11:00:00') = 1
date_sub(unit, CAST(first AS TIMESTAMP), CAST(last AS TIMESTAMP))

-- Macro day_of_month
-- Gives: the day of the month
-- Takes ts: The date or timestamp
-- Example: day_of_month(DATE '2020-05-10') = 10
CAST(day(ts) AS BIGINT)

-- Macro day_of_week
-- Gives: the day of the week, Monday is 1
-- Takes ts: The date or timestamp
-- Example: day_of_week(DATE '2020-05-10') = 7
CAST(isodow(ts) AS BIGINT)

-- Macro day_of_year
-- Gives: the day of the year
-- Takes ts: The date or timestamp
-- Example: day_of_year(DATE '2020-05-10') = 131
CAST(dayofyear(ts) AS BIGINT)

-- Macro from_iso8601_date
-- Gives: the date of a text YYYY-MM-DD
-- Takes txt: The text
-- Example: from_iso8601_date('2020-05-10') = DATE '2020-05-10'
CASE WHEN txt IS NULL OR regexp_full_match(txt, '[0-9]{4}-[0-9]{2}-[0-9]{2}') THEN CAST(txt AS DATE) ELSE error('from_iso8601_date() is given for YYYY-MM-DD') END

-- Macro last_day_of_month
-- Gives: the last day of the month
-- Takes ts: The date or timestamp
-- Example: last_day_of_month(DATE '2020-02-10') = DATE '2020-02-29'
last_day(ts)

-- Macro to_unixtime
-- Gives: seconds since 1970 in UTC, with their fraction
-- Takes ts: The timestamp, in UTC
-- Example: to_unixtime(TIMESTAMP '1970-01-01 00:01:00.5') = 60.5
epoch_us(ts) / 1e6

-- Macro week_of_year
-- Gives: the ISO week
-- Takes ts: The date or timestamp
-- Example: week_of_year(DATE '2020-05-10') = 19
CAST(week(ts) AS BIGINT)

-- Macro year_of_week
-- Gives: the year of the ISO week
-- Takes ts: The date or timestamp
-- Example: year_of_week(DATE '2008-12-29') = 2009
CAST(isoyear(ts) AS BIGINT)
