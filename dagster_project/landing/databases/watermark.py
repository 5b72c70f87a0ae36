"""How far the cursor column of a table has come: its greatest value, and the value from which to read again.

What belongs here: subtracting a lag, and writing the value as SQL. What does not: where it is kept (`steps.cursors`).
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation

from dagster_project.sql_words import literal

Watermark = str | int | float
"""A value as its database writes it: as text, where that text means the value to it."""


def lowered(value: Watermark, lag: float) -> Watermark:
    """Return the value `lag` before `value`: seconds of a time, days of a day in whole, or a number.

    The text of a time keeps its form, for a database may compare times as texts. Raises `ValueError` for what is
    neither time nor number.

    >>> lowered("2026-05-16 12:00:00.25+00", 60), lowered("2026-05-16", 3600), lowered(100, 10), lowered("7.50", 2)
    ('2026-05-16 11:59:00.250000+00:00', '2026-05-15', 90, '5.50')
    """
    if not lag:
        return value
    if not isinstance(value, str):
        less = value - lag
        return int(less // 1) if isinstance(value, int) else less
    try:
        return str(Decimal(value) - Decimal(str(lag)))
    except InvalidOperation:
        pass
    if len(value) == len("2026-05-16"):
        return (date.fromisoformat(value) - timedelta(days=-(-lag // 86_400))).isoformat()
    return (datetime.fromisoformat(value) - timedelta(seconds=lag)).isoformat(sep=value[10])


def as_sql(value: Watermark) -> str:
    """Return the value as SQL.

    >>> as_sql("it's"), as_sql(7)
    ("'it''s'", '7')
    """
    return literal(value) if isinstance(value, str) else repr(value)
