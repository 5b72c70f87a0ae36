-- A row is: a tag, upper and lower case being the same.
-- tag: The tag in lower case, without the leading #
-- notes: Notes that bear it
-- uses: Times it is used
-- sources: Sources it is used in
SELECT lower(tag) AS tag, count(DISTINCT note_id) AS notes, count(*) AS uses, count(DISTINCT source) AS sources
FROM notes.tags
GROUP BY lower(tag)
