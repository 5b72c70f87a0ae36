-- Macros: aggregates as Athena names them.
--
-- Source: https://trino.io/docs/current/functions/aggregate.html. Approximate ones are absent: another engine's estimate is another.

-- Macro arbitrary
-- Gives: any value of a group that is not NULL
-- Takes x: The value
-- Example: (SELECT arbitrary(x) FROM (VALUES (NULL), (3)) AS t(x)) = 3
any_value(x)

-- Macro bitwise_and_agg
-- Gives: the bits that all have
-- Takes x: The value
-- Example: (SELECT bitwise_and_agg(x) FROM (VALUES (7), (5)) AS t(x)) = 5
bit_and(CAST(x AS BIGINT))

-- Macro bitwise_or_agg
-- Gives: the bits that one has
-- Takes x: The value
-- Example: (SELECT bitwise_or_agg(x) FROM (VALUES (1), (4)) AS t(x)) = 5
bit_or(CAST(x AS BIGINT))

-- Macro every
-- Gives: whether all are true
-- Takes x: The condition
-- Example: (SELECT every(x) FROM (VALUES (true), (false)) AS t(x)) = false
bool_and(x)

-- Macro geometric_mean
-- Gives: the geometric mean
-- Takes x: The value
-- Example: (SELECT round(geometric_mean(x), 6) FROM (VALUES (1), (4)) AS t(x)) = 2
geomean(CAST(x AS DOUBLE))

-- Macro max_by
-- Gives: the value, NULL too, of the row where another is greatest
-- Takes x: The value
-- Takes y: What is compared
-- Example: (SELECT max_by(x, y) FROM (VALUES ('a', 1), (NULL, 2)) AS t(x, y)) = NULL
struct_extract(arg_max({'v': x}, y), 'v')

-- Macro min_by
-- Gives: the value, NULL too, of the row where another is least
-- Takes x: The value
-- Takes y: What is compared
-- Example: (SELECT min_by(x, y) FROM (VALUES ('a', 1), ('b', 2)) AS t(x, y)) = 'a'
struct_extract(arg_min({'v': x}, y), 'v')
