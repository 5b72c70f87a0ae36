"""This deployment: which sources there are, in YAML, and the few things they share.

What belongs here: what another deployment would do otherwise. What does not: how any of it works (`components`).

    sources/<name>/defs.yaml    one source each; a new one is a new folder, no Python
    lake.py                     the lake, the executor, the job over everything
    served.py                   the tables and views of lake.duckdb
    upkeep.py                   the daily clean-up
"""
