-- Macros: arrays as Athena has them: NULL inside of one counts.
--
-- Source: https://trino.io/docs/current/functions/array.html. Lambdas are the translator's: the shells of DuckDB 1.0 and 2.0
-- write them in different words, so none stands in a macro.

-- Macro array_join
-- Gives: the elements as one text, NULL passed over
-- Takes elements: The array of texts or numbers
-- Takes separator: The separator, a constant
-- Example: array_join([1, NULL, 2], '-') = '1-2'
coalesce(array_to_string(elements, separator), CASE WHEN elements IS NOT NULL THEN '' END)

-- Macro array_max
-- Gives: the greatest element, NULL if one is NULL
-- Takes elements: The array, not of doubles with NaN
-- Example: array_max([1, 3, 2]) = 3
-- Example: array_max([1, NULL]) = NULL
CASE WHEN len(elements) = list_count(elements) THEN list_max(elements) END

-- Macro array_min
-- Gives: the least element, NULL if one is NULL
-- Takes elements: The array, not of doubles with NaN
-- Example: array_min([2, 1, 3]) = 1
CASE WHEN len(elements) = list_count(elements) THEN list_min(elements) END

-- Macro array_position
-- Gives: where a value first stands, 0 if nowhere
-- Takes elements: The array
-- Takes item: The value
-- Example: array_position([5, 6], 6) = 2
-- Example: array_position([5, 6], 7) = 0
CASE WHEN elements IS NOT NULL AND item IS NOT NULL THEN CAST(coalesce(list_position(elements, item), 0) AS BIGINT) END

-- Macro array_sort
-- Gives: an array in order, NULL last
-- Takes elements: The array
-- Example: array_sort([3, NULL, 1]) = [1, 3, NULL]
list_sort(elements, 'ASC', 'NULLS LAST')

-- Macro arrays_overlap
-- Gives: whether a value stands in both; NULL if none does and one of them has NULL
-- Takes one: An array
-- Takes other: Another
-- Example: arrays_overlap([1, 2], [2, 3]) = true
-- Example: arrays_overlap([1, NULL], [2]) = NULL
CASE WHEN list_has_any(one, other) THEN true WHEN (len(one) > list_count(one) OR len(other) > list_count(other)) AND len(one) > 0 AND len(other) > 0 THEN NULL WHEN one IS NOT NULL AND other IS NOT NULL THEN false END

-- Macro contains
-- Gives: whether an array holds a value; NULL if it is not found and a NULL is there
-- Takes elements: The array
-- Takes item: The value
-- Example: contains([1, 2], 2) = true
-- Example: contains([1, NULL], 2) = NULL
CASE WHEN item IS NULL OR elements IS NULL THEN NULL WHEN list_contains(elements, item) THEN true WHEN len(elements) > list_count(elements) THEN NULL ELSE false END

-- Macro repeat
-- Gives: an array of one element so many times
-- Takes item: The element
-- Takes times: How often
-- Example: repeat('a', 2) = ['a', 'a']
list_resize([item], greatest(CAST(times AS BIGINT), 0), item)

-- Macro sequence
-- Gives: the whole numbers from one to another, backwards if the second is less
-- Takes first: The first
-- Takes last: The last
-- Takes step [NULL]: The step
-- Example: sequence(1, 3) = [1, 2, 3]
-- Example: sequence(3, 1) = [3, 2, 1]
CASE WHEN step = 0 OR (step > 0 AND first > last) OR (step < 0 AND first < last) THEN error('sequence() takes a step that leads from the first to the last') ELSE generate_series(CAST(first AS BIGINT), CAST(last AS BIGINT), coalesce(CAST(step AS BIGINT), CASE WHEN first > last THEN -1 ELSE 1 END)) END
