-- A row is: an event that names the session it belongs to, as `session` in its own data.
-- session: Id of the session
-- event_id: Id of the event
-- source: Name of the source
-- type: What happened, e.g. session.question
-- occurred_at: When it happened (UTC)
-- path: Note it is about; null if it names none
-- actor: Who or what caused it
-- text: What was said, if it says so
SELECT
  json_extract_scalar(detail, '$.session') AS session, event_id, source, type, occurred_at, path, actor,
  json_extract_scalar(detail, '$.text') AS text
FROM notes.events
WHERE json_extract_scalar(detail, '$.session') IS NOT NULL
