"""notelake: notes from every silo in one Iceberg lake, audited, in SQL.

The flow has five verbs, and `pipeline.py` says them in order:

    source ──land──▶ raw ──shape──▶ staged rows ──audit──▶ verdict ──commit──▶ notes ──serve──▶ lake.duckdb
                                         │                    └── refused ──▶ ops.quarantine

A verb is a folder here (`landing`, `shaping`, `audit`, `lake`, `views`), a folder in `tests`, and a word in the UI.
"""
