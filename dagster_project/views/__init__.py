"""serve: the lake as one DuckDB file that any shell opens.

`sql_files` reads the views people write, `scans` turns pinned tables into SQL, `publish` builds the file and swaps
it in.
"""
