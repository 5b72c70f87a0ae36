-- A row is: a note that is about a session, with what went on live in that session.
-- session: Id of the session
-- note_id: The note
-- source: Name of the source
-- kind: What it was at the source: document, row or event
-- path: Where it lies in its source
-- title: Its title
-- word_count: Words in its body
-- events: Live events of the session
-- questions: Questions among them
-- people: Different people who caused them
-- first_event_at: When the first of them occurred (UTC); null if there were none
-- last_event_at: When the last of them occurred (UTC); null if there were none
--
-- A note is about a session if its properties say `session` or `session_id`, if it is the row of a table with that id
-- as its key, or if an event of the session is about it.
WITH named AS (
  SELECT
    coalesce(json_extract_scalar(properties, '$.session'), json_extract_scalar(properties, '$.session_id')) AS session,
    note_id
  FROM notes.notes
  WHERE properties LIKE '%"session%'
), live AS (
  SELECT
    session, count(*) AS events, count(CASE WHEN type LIKE '%.question' THEN 1 END) AS questions,
    count(DISTINCT actor) AS people, min(occurred_at) AS first_event_at, max(occurred_at) AS last_event_at
  FROM insights.session_events
  GROUP BY session
), known AS (
  SELECT session FROM named WHERE session IS NOT NULL
  UNION
  SELECT session FROM live
), about AS (
  SELECT session, note_id FROM named WHERE session IS NOT NULL
  UNION
  SELECT known.session, note.note_id
  FROM known
  JOIN notes.notes AS note ON note.path = known.session
  WHERE note.kind = 'row'
  UNION
  SELECT event.session, note.note_id
  FROM insights.session_events AS event
  JOIN notes.notes AS note ON note.source = event.source AND note.path = event.path
)
SELECT
  about.session, note.note_id, note.source, note.kind, note.path, note.title, note.word_count,
  coalesce(live.events, 0) AS events,
  coalesce(live.questions, 0) AS questions,
  coalesce(live.people, 0) AS people,
  live.first_event_at,
  live.last_event_at
FROM about
JOIN notes.notes AS note ON note.note_id = about.note_id
LEFT JOIN live ON live.session = about.session
