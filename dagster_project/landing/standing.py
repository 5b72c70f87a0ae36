"""Which arrivals of a table source stand, and by what key: the SQL that landing and views have in common.

What belongs here: the markers that count, and a part of a row's key as text. What does not: the queries they stand in
(`departed`, `compared`, `views.scans`).
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

READ: Final = "(_op = 'file' AND _error IS NULL)"
"""The marker of a file that could be read; one with an error leaves the file as it stood."""
GONE: Final = "(_op = 'gone' AND _row_hash IS NULL)"
"""The marker of a file that is gone; a row that is has a hash."""
COPY: Final = "_op = 'same'"
"""The marker of a file that was not loaded, because its content stands under another path."""
WHOLE: Final = "whole"
"""What the payload of a marker says of a landing that looked at all rows of an incremental table, the refused anew."""
COUNTS: Final = f"({READ} OR {COPY} OR {GONE})"


def counting(mode: str) -> str:
    """Return SQL that is true for the markers that count in a mode: in append a file that is gone leaves its rows."""
    return f"({READ} OR {COPY})" if mode == "append" else COUNTS


def table_of(file: str) -> str:
    """Return SQL of the table that the landing `file`, SQL too, of an incremental source is of; other names stay.

    >>> table_of("_file")
    "regexp_replace(_file, '/[0-9]+$', '')"
    """
    return f"regexp_replace({file}, '/[0-9]+$', '')"


def read_whole(raw: str) -> str:
    """Return a query of the tables that were read whole again: `of_table`, and the `first` arrival of the last time."""
    return (
        f"SELECT {table_of('_file')} AS of_table, max(sequence - _row) AS first FROM {raw} AS w "
        f"WHERE {READ} AND TRY(json_extract_string(_payload, '$.{WHOLE}')) = 'true' GROUP BY ALL"
    )


def key_part(value: str, type_: pa.DataType, variant: str | None = None) -> str:
    """Return SQL of a part of a row's key as text; null for one that is empty, or NaN, which equals nothing.

    `value` is SQL of its column, `variant` that of the column for values that do not fit.

    >>> key_part("id", pa.int64(), "id__text")
    "coalesce(nullif(CAST(id AS VARCHAR), ''), nullif(id__text, ''))"
    """
    no_key = "'nan'" if pa.types.is_floating(type_) else "''"
    part = f"nullif(CAST({value} AS VARCHAR), {no_key})"
    return part if variant is None else f"coalesce({part}, nullif({variant}, ''))"
