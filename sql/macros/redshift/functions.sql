-- Macros: functions as Redshift has them.
--
-- Source: https://docs.aws.amazon.com/redshift/latest/dg/c_SQL_functions.html. Those that take a bare word (dateadd(month, …)) or
-- any number of arguments (decode) are the translator's.

-- Macro add_months
-- Gives: a timestamp so many months later; the end of a month stays the end of a month
-- Takes ts: The timestamp
-- Takes months: How many
-- Example: add_months(DATE '2008-02-29', 1) = TIMESTAMP '2008-03-31 00:00:00'
CASE WHEN CAST(ts AS DATE) = system.main.last_day(ts) THEN system.main.last_day(CAST(ts AS TIMESTAMP) + to_months(CAST(months AS INTEGER))) + (CAST(ts AS TIMESTAMP) - date_trunc('day', CAST(ts AS TIMESTAMP))) ELSE CAST(ts AS TIMESTAMP) + to_months(CAST(months AS INTEGER)) END

-- Macro btrim
-- Gives: a text without blanks, or without the characters told, at both ends
-- Takes txt: The text
-- Takes marks [' ']: The characters
-- Example: btrim('xyzaxyzbxyzcxyz', 'xyz') = 'axyzbxyzc'
trim(txt, marks)

-- Macro can_json_parse
-- Gives: whether a text is JSON
-- Takes txt: The text
-- Example: can_json_parse('[1,"abc"]') = true
-- Example: can_json_parse('[1,]') = false
json_valid(txt) AND NOT regexp_matches(system.main.regexp_replace(CAST(txt AS VARCHAR), '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i),\s*[\]}]|nan|inf')

-- Macro charindex
-- Gives: where a part begins, counted from 1; 0 if nowhere
-- Takes part: The part
-- Takes txt: The text
-- Example: charindex('fish', 'dogfish') = 4
CAST(instr(txt, part) AS INTEGER)

-- Macro dexp
-- Gives: the exponential function
-- Takes x: The double
-- Example: dexp(0) = 1
exp(CAST(x AS DOUBLE))

-- Macro dlog1
-- Gives: the natural logarithm
-- Takes x: The double
-- Example: dlog1(1) = 0
ln(CAST(x AS DOUBLE))

-- Macro dlog10
-- Gives: the logarithm to base 10
-- Takes x: The double
-- Example: dlog10(100) = 2
log10(CAST(x AS DOUBLE))

-- Macro is_valid_json
-- Gives: whether a text is a JSON object
-- Takes txt: The text
-- Example: is_valid_json('{"a":2}') = true
-- Example: is_valid_json('[1,2,3]') = false
CASE WHEN json_valid(txt) AND NOT regexp_matches(system.main.regexp_replace(CAST(txt AS VARCHAR), '"(?:[^"\\]|\\.)*"', '""', 'g'), '(?i),\s*[\]}]|nan|inf') THEN json_type(txt) = 'OBJECT' WHEN txt IS NOT NULL THEN false END

-- Macro json_extract_array_element_text
-- Gives: the text of an element of a JSON array counted from 0, NULL beyond the end
-- Takes doc: The JSON
-- Takes place: The place
-- Example: json_extract_array_element_text('[111,112,113]', 2) = '113'
json_extract_string(doc, '$[' || CAST(place AS VARCHAR) || ']')

-- Macro json_extract_path_text
-- Gives: the text at a path of names, NULL if there is none
-- Takes doc: The JSON
-- Takes a: A name
-- Takes b [NULL]: A name below
-- Takes c [NULL]: A name below
-- Takes d [NULL]: A name below
-- Takes e [NULL]: A name below
-- Example: json_extract_path_text('{"f2":{"f3":1},"f4":{"f5":99,"f6":"star"}}', 'f4', 'f6') = 'star'
json_extract_string(doc, '$."' || a || '"' || coalesce('."' || b || '"', '') || coalesce('."' || c || '"', '') || coalesce('."' || d || '"', '') || coalesce('."' || e || '"', ''))

-- Macro len
-- Gives: how many characters a text has
-- Takes txt: The text
-- Example: len('cat') = 3
CAST(system.main.length(txt) AS INTEGER)

-- Macro listagg
-- Gives: all texts of a group joined, without NULL
-- Takes x: The text
-- Takes separator ['']: What stands between
-- Example: (SELECT listagg(x, ',') FROM (VALUES ('a'), ('b')) AS t(x)) = 'a,b'
string_agg(x, separator)

-- Macro months_between
-- Gives: the months between two dates: whole between equal days or ends of months, else with 31sts
-- Takes one: The later
-- Takes other: The earlier
-- Example: months_between(DATE '1969-01-18', DATE '1969-03-18') = -2
CASE WHEN day(one) = day(other) OR (CAST(one AS DATE) = system.main.last_day(one) AND CAST(other AS DATE) = system.main.last_day(other)) THEN CAST((year(one) - year(other)) * 12 + month(one) - month(other) AS DOUBLE) ELSE (year(one) - year(other)) * 12 + month(one) - month(other) + (epoch(CAST(one AS TIMESTAMP) - date_trunc('month', CAST(one AS TIMESTAMP))) - epoch(CAST(other AS TIMESTAMP) - date_trunc('month', CAST(other AS TIMESTAMP)))) / 2678400e0 END

-- Macro nvl
-- Gives: the first that is not NULL
-- Takes a: A value
-- Takes b: Another
-- Example: nvl(NULL, 12) = 12
coalesce(a, b)

-- Macro nvl2
-- Gives: the second if the first is not NULL, else the third
-- Takes x: What is looked at
-- Takes there: What to give if it is not NULL
-- Takes missing: What to give if it is
-- Example: nvl2(NULL, 1, 2) = 2
CASE WHEN x IS NOT NULL THEN there ELSE missing END

-- Macro replicate
-- Gives: a text so many times
-- Takes txt: The text
-- Takes times: How often
-- Example: replicate('ab', 2) = 'abab'
repeat(txt, CAST(times AS BIGINT))

-- Macro sha2
-- Gives: the SHA-256 of a text in hexadecimal digits
-- Takes txt: The text
-- Takes bits [256]: 256
-- Example: left(sha2('a', 256), 8) = 'ca978112'
CASE WHEN bits IN (0, 256) THEN sha256(txt) ELSE error('sha2() is given for 256 bits') END
