"""The lake: Iceberg tables on disk or in an object store, opened, read, staged, committed and kept in order.

What belongs here: everything that knows Iceberg; nothing else imports pyiceberg. What does not: what the rows mean.

    schema.py    contracts as Iceberg schemas, and back
    catalog.py   the catalog, and the swap of many tables in one SQL transaction
    lake.py      a lake that was opened: pins, cursors, connections
    pins.py      a table held at one snapshot
    read.py      a pin as a DuckDB relation
    parquet.py   Arrow batches to Parquet files
    staging.py   rows to files that are ready to be committed
    commit.py    staged files to one commit over many tables
    replace.py   which files a set of keys touches, written anew without them
    upkeep.py    which snapshots to keep, which files to delete
    relocate.py  a lake that was moved to another folder
"""
