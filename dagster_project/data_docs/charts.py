"""A figure over its batches as a line: the points of an SVG, worked out here so that the pages need no script.

What belongs here: scaling. What does not: reading figures (`facts`) and markup (`templates`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 240
HEIGHT: Final = 48
_EDGE: Final = 3


@dataclass(frozen=True, slots=True)
class Chart:
    """A line of values, oldest first; `points` are those of an SVG polyline of `WIDTH` by `HEIGHT`."""

    title: str
    points: str
    end: tuple[float, float]
    least: float
    greatest: float
    newest: float


def chart(title: str, values: Sequence[float]) -> Chart:
    """Return a line through at least two values; a line of equal ones lies in the middle.

    >>> chart("rows", [1, 3]).points
    '3.0,45.0 237.0,3.0'
    """
    least, greatest = min(values), max(values)
    step = (WIDTH - 2 * _EDGE) / (len(values) - 1)
    room = greatest - least
    points = [
        (_EDGE + n * step, _EDGE + (HEIGHT - 2 * _EDGE) * (1 - ((value - least) / room if room else 0.5)))
        for n, value in enumerate(values)
    ]
    told = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return Chart(title, told, points[-1], least, greatest, values[-1])
