-- Macros: texts, patterns, bytes and URLs as Athena has them.
--
-- Source: https://trino.io/docs/current/functions/string.html, …/regexp.html, …/binary.html, …/url.html

-- Macro codepoint
-- Gives: the code point of a text of one character
-- Takes txt: The character
-- Example: codepoint('a') = 97
CASE WHEN system.main.length(txt) <> 1 THEN error('codepoint() takes one character') ELSE unicode(txt) END

-- Macro from_base64url
-- Gives: the bytes of base64 with - and _
-- Takes txt: The base64
-- Example: from_base64url('YWI_') = CAST('ab?' AS BLOB)
from_base64(system.main.translate(txt, '-_', '+/'))

-- Macro from_utf8
-- Gives: the text of UTF-8 bytes; an error for bytes that are none
-- Takes bytes: The bytes
-- Example: from_utf8(CAST('ab' AS BLOB)) = 'ab'
decode(bytes)

-- Macro length
-- Gives: how many code points a text has
-- Takes txt: The text
-- Example: length('naïve') = 5
CAST(system.main.length(txt) AS BIGINT)

-- Macro md5
-- Gives: the MD5 digest of bytes, as bytes
-- Takes bytes: The bytes, e.g. to_utf8('a')
-- Example: to_hex(md5(to_utf8('a'))) = '0CC175B9C0F1B6A831C399E269772661'
from_hex(system.main.md5(CAST(bytes AS BLOB)))

-- Macro regexp_count
-- Gives: how often a pattern matches
-- Takes txt: The text
-- Takes pattern: The pattern, as RE2 knows it
-- Example: regexp_count('1a 2b 14m', '[a-z]') = 3
CAST(system.main.len(system.main.regexp_extract_all(txt, pattern)) AS BIGINT)

-- Macro regexp_extract
-- Gives: the first match of a pattern, or a group of it that always matches; NULL where there is none
-- Takes txt: The text
-- Takes pattern: The pattern, as RE2 knows it
-- Takes grp [0]: The group
-- Example: regexp_extract('1a 2b 14m', '[0-9]+') = '1'
-- Example: regexp_extract('abc', '[0-9]+') = NULL
CASE WHEN regexp_matches(txt, pattern) THEN system.main.regexp_extract(txt, pattern, grp) END

-- Macro regexp_like
-- Gives: whether a pattern is found anywhere
-- Takes txt: The text
-- Takes pattern: The pattern, as RE2 knows it
-- Example: regexp_like('1a 2b 14m', '[0-9]+b') = true
regexp_matches(txt, pattern)

-- Macro regexp_split
-- Gives: the parts between matches of a pattern that takes a character
-- Takes txt: The text
-- Takes pattern: The pattern, as RE2 knows it
-- Example: regexp_split('1a 2b', ' ') = ['1a', '2b']
regexp_split_to_array(txt, pattern)

-- Macro reverse
-- Gives: a text from its end, by code points
-- Takes txt: The text
-- Example: reverse('abc') = 'cba'
array_to_string(list_reverse(string_split(txt, '')), '')

-- Macro sha1
-- Gives: the SHA-1 digest of bytes, as bytes
-- Takes bytes: The bytes
-- Example: to_hex(sha1(to_utf8('a'))) = '86F7E437FAA5A7FCE15D1DDCB9EAEAEA377667B8'
from_hex(system.main.sha1(CAST(bytes AS BLOB)))

-- Macro sha256
-- Gives: the SHA-256 digest of bytes, as bytes
-- Takes bytes: The bytes
-- Example: octet_length(sha256(to_utf8('a'))) = 32
from_hex(system.main.sha256(CAST(bytes AS BLOB)))

-- Macro split
-- Gives: the parts between separators
-- Takes txt: The text
-- Takes separator: The separator, not empty
-- Example: split('a,b,c', ',') = ['a', 'b', 'c']
string_split(txt, separator)

-- Macro split_part
-- Gives: the part of a number from 1, NULL beyond the last
-- Takes txt: The text
-- Takes separator: The separator, not empty
-- Takes place: The number
-- Example: split_part('a,b', ',', 2) = 'b'
-- Example: split_part('a,b', ',', 3) = NULL
CASE WHEN place <= 0 THEN error('Index must be greater than zero') ELSE string_split(txt, separator)[place] END

-- Macro strpos
-- Gives: where a part begins, counted from 1; 0 if nowhere
-- Takes txt: The text
-- Takes part: The part
-- Example: strpos('banana', 'n') = 3
CAST(instr(txt, part) AS BIGINT)

-- Macro to_base64url
-- Gives: base64 with - and _
-- Takes bytes: The bytes
-- Example: to_base64url(CAST('ab?' AS BLOB)) = 'YWI_'
system.main.translate(to_base64(bytes), '+/', '-_')

-- Macro to_hex
-- Gives: the hexadecimal digits of bytes
-- Takes bytes: The bytes
-- Example: to_hex(to_utf8('ab')) = '6162'
hex(CAST(bytes AS BLOB))

-- Macro to_utf8
-- Gives: the UTF-8 bytes of a text
-- Takes txt: The text
-- Example: to_utf8('ab') = CAST('ab' AS BLOB)
encode(txt)

-- Macro url_decode
-- Gives: the text of a form
-- Takes txt: The form
-- Example: url_decode('a+b%20c') = 'a b c'
system.main.url_decode(system.main.replace(txt, '+', ' '))

-- Macro url_encode
-- Gives: a text as it stands in a form, with + for a blank
-- Takes txt: The text
-- Example: url_encode('a b') = 'a+b'
system.main.replace(system.main.replace(system.main.replace(system.main.url_encode(txt), '%20', '+'), '~', '%7E'), '%2A', '*')

-- Macro url_extract_fragment
-- Gives: what stands behind # in a URL
-- Takes url: The URL
-- Example: url_extract_fragment('http://a.b/c?d=1#e') = 'e'
CASE WHEN regexp_full_match(url, '(?:[^\s"<>\\^`{|}%]|%[0-9A-Fa-f]{2})*') THEN system.main.regexp_extract(url, '^[^#]*#(.*)$', 1) END

-- Macro url_extract_path
-- Gives: the path of a URL, NULL for what is none
-- Takes url: The URL
-- Example: url_extract_path('http://a.b/c?d=1#e') = '/c'
CASE WHEN regexp_full_match(url, '(?:[^\s"<>\\^`{|}%]|%[0-9A-Fa-f]{2})*') THEN system.main.regexp_extract(url, '^(?:[A-Za-z][A-Za-z0-9+.-]*:)?(?://[^/?#]*)?([^?#]*)', 1) END

-- Macro url_extract_protocol
-- Gives: the protocol of a URL
-- Takes url: The URL
-- Example: url_extract_protocol('http://a.b/c') = 'http'
CASE WHEN regexp_full_match(url, '(?:[^\s"<>\\^`{|}%]|%[0-9A-Fa-f]{2})*') THEN system.main.regexp_extract(url, '^([A-Za-z][A-Za-z0-9+.-]*):', 1) END

-- Macro url_extract_query
-- Gives: what stands behind ? in a URL
-- Takes url: The URL
-- Example: url_extract_query('http://a.b/c?d=1#e') = 'd=1'
CASE WHEN regexp_full_match(url, '(?:[^\s"<>\\^`{|}%]|%[0-9A-Fa-f]{2})*') THEN system.main.regexp_extract(url, '^[^?#]*[?]([^#]*)', 1) END
