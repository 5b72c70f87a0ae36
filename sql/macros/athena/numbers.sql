-- Macros: numbers and bits as Athena has them: NaN where DuckDB raises.
--
-- Source: https://trino.io/docs/current/functions/math.html, …/bitwise.html

-- Macro bitwise_and
-- Gives: the bits that both have
-- Takes a: A number
-- Takes b: Another
-- Example: bitwise_and(19, 25) = 17
CAST(a AS BIGINT) & CAST(b AS BIGINT)

-- Macro bitwise_not
-- Gives: the bits turned round
-- Takes a: A number
-- Example: bitwise_not(19) = -20
~CAST(a AS BIGINT)

-- Macro bitwise_or
-- Gives: the bits that one of both has
-- Takes a: A number
-- Takes b: Another
-- Example: bitwise_or(19, 25) = 27
CAST(a AS BIGINT) | CAST(b AS BIGINT)

-- Macro bitwise_xor
-- Gives: the bits in which both differ
-- Takes a: A number
-- Takes b: Another
-- Example: bitwise_xor(19, 25) = 10
xor(CAST(a AS BIGINT), CAST(b AS BIGINT))

-- Macro e
-- Gives: Euler's number
-- Example: round(e(), 4) = 2.7183
exp(1)

-- Macro infinity
-- Gives: infinity
-- Example: infinity() = CAST('infinity' AS DOUBLE)
CAST('infinity' AS DOUBLE)

-- Macro is_finite
-- Gives: whether a double is a finite number
-- Takes x: The double
-- Example: is_finite(1.5e0) = true
isfinite(CAST(x AS DOUBLE))

-- Macro is_infinite
-- Gives: whether a double is infinite
-- Takes x: The double
-- Example: is_infinite(1.5e0) = false
isinf(CAST(x AS DOUBLE))

-- Macro is_nan
-- Gives: whether a double is no number
-- Takes x: The double
-- Example: is_nan(1.5e0) = false
isnan(CAST(x AS DOUBLE))

-- Macro ln
-- Gives: the natural logarithm, -infinity for 0, NaN below
-- Takes x: The double
-- Example: ln(1e0) = 0
CASE WHEN x = 0 THEN CAST('-infinity' AS DOUBLE) WHEN x < 0 THEN CAST('nan' AS DOUBLE) ELSE system.main.ln(CAST(x AS DOUBLE)) END

-- Macro nan
-- Gives: what is no number
-- Example: isnan(nan()) = true
CAST('nan' AS DOUBLE)

-- Macro sqrt
-- Gives: the square root, NaN below 0
-- Takes x: The double
-- Example: sqrt(4e0) = 2
CASE WHEN x < 0 THEN CAST('nan' AS DOUBLE) ELSE system.main.sqrt(CAST(x AS DOUBLE)) END

-- Macro to_base
-- Gives: a number in a base, in small letters
-- Takes x: The number
-- Takes base: The base, 2 to 36
-- Example: to_base(-255, 16) = '-ff'
CASE WHEN x < 0 THEN '-' ELSE '' END || lower(system.main.to_base(abs(x), base))

-- Macro truncate
-- Gives: a double cut towards zero
-- Takes x: The double
-- Example: truncate(-1.7e0) = -1
trunc(CAST(x AS DOUBLE))
