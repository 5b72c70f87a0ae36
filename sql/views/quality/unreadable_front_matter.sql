-- A row is: a file whose front matter could not be read, or not all of it; the text below it is served all the same.
-- source: Name of the source
-- path: The file
-- line: Line of the error, from 1
-- error: What is wrong with it
-- dropped: What was not understood in this file, as JSON
-- parser: What read it
SELECT source, path, line, error, dropped, parser
FROM ops.inputs
WHERE dropped LIKE '%"front matter%'
