"""Landing: what lies at a source to Arrow rows of `raw` and a cursor.

What belongs here: documents, tables, streams, and who writes events (`emit`, `collector`). What does not: what the
rows mean (`shaping`, `model`) and where they are kept (`lake`).
"""
