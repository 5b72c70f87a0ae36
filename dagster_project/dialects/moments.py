"""Dates and times that stand as constants in a statement, to the picosecond, as Trino has them.

DuckDB keeps microseconds. What is done with a constant of more digits (rounding it, comparing it, taking its hour) is
done here, exactly; one that would have to be shown or kept is refused.

What belongs here: reading literals, rounding, fields, comparing. What does not: values that only DuckDB will see.
"""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Final

from dagster_project.dialects.types import DATE, Type, timestamp, timestamptz
from dagster_project.errors import Unsupported

SECOND: Final = 10**12
DAY: Final = 86400 * SECOND
FULL: Final = 12
MICRO: Final = 10**6

CLOCK: Final = r"(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,12}))?)?"
WRITTEN_DATE: Final = r"([+-]?\d{1,6})-(\d{1,2})-(\d{1,2})"
WRITTEN: Final = re.compile(rf"\s*{WRITTEN_DATE}(?:[ T]+{CLOCK})?\s*([A-Za-z+-][\w/+:-]*)?\s*")
WRITTEN_TIME: Final = re.compile(rf"\s*{CLOCK}\s*([+-]\d{{1,2}}(?::?\d{{2}})?)?\s*")


@dataclass(frozen=True)
class Moment:
    """A constant date or time. `days` since 1970-01-01 and `picos` of the day are local, in `zone` where there is one."""

    kind: str
    digits: int
    days: int
    picos: int
    zone: str | None = None
    known_offset: int | None = None
    """Seconds ahead of UTC, where a clock that was set back shows the same time twice."""

    @cached_property
    def local(self) -> int:
        """Picoseconds since 1970-01-01 00:00 on its own clock."""
        return self.days * DAY + self.picos

    @cached_property
    def instant(self) -> int:
        """Picoseconds since 1970-01-01 00:00 UTC; what has no zone stands in UTC, as Athena's sessions do."""
        return self.local - self.offset * SECOND

    @cached_property
    def offset(self) -> int:
        """Seconds that its zone is ahead of UTC."""
        if self.known_offset is not None:
            return self.known_offset
        return offset_of(self.zone, self.days, self.picos // SECOND) if self.zone else 0

    @property
    def type(self) -> Type:
        """Its Trino type."""
        if self.kind == "date":
            return DATE
        if self.kind == "timestamp":
            return timestamp(self.digits)
        if self.kind == "timestamptz":
            return timestamptz(self.digits, self.zone)
        return Type(self.kind, (self.digits, self.zone) if self.kind == "timetz" else (self.digits,))

    @property
    def is_micro(self) -> bool:
        """Whether microseconds tell all of it."""
        return self.picos % MICRO == 0

    def rounded(self, digits: int) -> Moment:
        """Return it with so many digits of the second, half up; a time of day goes on at midnight."""
        step = 10 ** (FULL - digits)
        total = (self.local + step // 2) // step * step
        days, picos = divmod(total, DAY)
        return replace(self, digits=digits, days=days if "timestamp" in self.kind else self.days, picos=picos)

    def floored(self) -> Moment:
        """Return it without what is smaller than a microsecond."""
        return replace(self, picos=self.picos - self.picos % MICRO, digits=min(self.digits, 6))

    @property
    def sql(self) -> str:
        """It as a constant of DuckDB. Raises `Unsupported` where microseconds do not tell all of it."""
        if not self.is_micro:
            raise Unsupported(
                f"{self} has {self.digits} digits of the second, and DuckDB keeps 6. Round it: CAST(… AS timestamp(6))."
            )
        if self.kind in {"time", "timetz"}:
            return f"{'TIMETZ' if self.zone else 'TIME'} '{self.clock(6)}{'+00:00' if self.zone == 'UTC' else self.zone or ''}'"
        year, month, day = civil(self.days)
        if year > 9999:
            raise Unsupported(
                f"{self} lies beyond the year 9999, which not every reader of the result has. Leave it out."
            )
        if year < 1:
            raise Unsupported(f"{self} lies before the year 1. Leave it out.")
        if self.kind == "date":
            return f"DATE '{year:04}-{month:02}-{day:02}'"
        if self.kind == "timestamp":
            return f"TIMESTAMP '{year:04}-{month:02}-{day:02} {self.clock(6)}'"
        days, picos = divmod(self.instant, DAY)
        year, month, day = civil(days)
        return f"TIMESTAMPTZ '{year:04}-{month:02}-{day:02} {replace(self, picos=picos).clock(6)}+00'"

    def clock(self, digits: int) -> str:
        """Return its time of day with at most so many digits, cut."""
        seconds, rest = divmod(self.picos, SECOND)
        shown = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"{shown}.{rest:012}"[: 9 + digits] if digits else shown

    def __str__(self) -> str:
        """It as Trino prints it."""
        year, month, day = civil(self.days)
        sign, year = ("-", -year) if year < 0 else ("+" if year > 9999 else "", year)
        date = f"{sign}{year:04}-{month:02}-{day:02}"
        if self.kind == "date":
            return date
        if self.kind in {"time", "timetz"}:
            return f"{self.clock(self.digits)}{'+00:00' if self.zone == 'UTC' else self.zone or ''}"
        return f"{date} {self.clock(self.digits)}{' ' + self.zone if self.zone else ''}"


def read_date(text: str) -> Moment | None:
    """Return what `DATE 'text'` is; None if it is none."""
    found = re.fullmatch(rf"\s*{WRITTEN_DATE}\s*", text)
    days = found and _days(found[1], found[2], found[3])
    return None if days is None else Moment("date", 0, days, 0)


def read_timestamp(text: str) -> Moment | None:
    """Return what `TIMESTAMP 'text'` is, with a zone if it names one; None if it is none.

    >>> str(read_timestamp("2020-05-01 12:34:56.7891 Europe/Warsaw"))
    '2020-05-01 12:34:56.7891 Europe/Warsaw'
    """
    found = WRITTEN.fullmatch(text)
    if found is None:
        return None
    days, picos = _days(found[1], found[2], found[3]), _picos(*found.group(4, 5, 6, 7)) if found[4] else 0
    zone = found[8]
    if days is None or picos is None:
        return None
    if zone is None:
        return Moment("timestamp", len(found[7] or ""), days, picos)
    name = zone_named(zone)
    return None if name is None else Moment("timestamptz", len(found[7] or ""), days, picos, name)


def read_time(text: str) -> Moment | None:
    """Return what `TIME 'text'` is, with an offset if it tells one; None if it is none."""
    found = WRITTEN_TIME.fullmatch(text)
    picos = found and _picos(*found.group(1, 2, 3, 4))
    if found is None or picos is None:
        return None
    digits = len(found[4] or "")
    if found[5] is None:
        return Moment("time", digits, 0, picos)
    zone = zone_named(found[5])
    return None if zone is None else Moment("timetz", digits, 0, picos, zone)


def _picos(hour: str, minute: str, second: str | None, fraction: str | None) -> int | None:
    if int(hour) > 23 or int(minute) > 59 or int(second or 0) > 59:
        return None
    return ((int(hour) * 60 + int(minute)) * 60 + int(second or 0)) * SECOND + int((fraction or "0").ljust(FULL, "0"))


def _days(year: str, month: str, day: str) -> int | None:
    y, m, d = int(year), int(month), int(day)
    if not 1 <= m <= 12 or not 1 <= d <= days_in(y, m):
        return None
    return epoch_days(y, m, d)


def days_in(year: int, month: int) -> int:
    """Return how many days a month has."""
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return 29 if month == 2 and leap else (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1]


def epoch_days(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date of the proleptic Gregorian calendar, of any year."""
    year -= month <= 2
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719468


def civil(days: int) -> tuple[int, int, int]:
    """Return year, month and day of a day counted from 1970-01-01.

    >>> civil(0), civil(epoch_days(-12001, 2, 28))
    ((1970, 1, 1), (-12001, 2, 28))
    """
    era, of_era = divmod(days + 719468, 146097)
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153
    day = of_year - (153 * month + 2) // 5 + 1
    month += 3 if month < 10 else -9
    return year + era * 400 + (month <= 2), month, day


@lru_cache(512)
def zone_named(text: str) -> str | None:
    """Return the zone as Trino names it (`UTC`, `+08:35`, `Europe/Warsaw`); None if there is none."""
    found = re.fullmatch(r"(?:UTC|GMT|UT)?([+-])(\d{1,2})(?::?(\d{2}))?", text)
    if found:
        hours, minutes = int(found[2]), int(found[3] or 0)
        if hours == minutes == 0:
            return "UTC"
        return f"{found[1]}{hours:02}:{minutes:02}" if hours * 60 + minutes <= 14 * 60 and minutes < 60 else None
    if text.upper() in {"Z", "UTC", "GMT", "UT", "ZULU"}:
        return "UTC"
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return None
    return text


def offset_minutes(zone: str) -> int | None:
    """Return the offset of a zone that is one, in minutes; None for a zone of a place.

    >>> offset_minutes("-07:09"), offset_minutes("Europe/Warsaw")
    (-429, None)
    """
    if zone == "UTC":
        return 0
    if zone[0] not in "+-":
        return None
    return (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 60 + int(zone[4:6]))


def offset_of(zone: str, days: int, seconds: int) -> int:
    """Return the seconds a zone is ahead of UTC at a local time."""
    minutes = offset_minutes(zone)
    if minutes is not None:
        return minutes * 60
    year, month, day = civil(days)
    if not 1 < year < 9999:
        raise Unsupported(f"The offset of {zone} in the year {year} is not known here. Write the time in UTC.")
    at = dt.datetime(
        year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60, tzinfo=zoneinfo.ZoneInfo(zone)
    )
    return int((at.utcoffset() or dt.timedelta()).total_seconds())


def in_zone(moment: Moment, zone: str) -> Moment:
    """Return the same instant as clocks in `zone` show it."""
    if moment.kind == "timetz":
        shift = (offset_of(zone, 0, 0) - moment.offset) * SECOND
        return replace(moment, picos=(moment.picos + shift) % DAY, zone=zone)
    at_utc = moment.instant
    minutes = offset_minutes(zone)
    if minutes is None:
        days, picos = divmod(at_utc, DAY)
        year, month, day = civil(days)
        if not 1 < year < 9999:
            raise Unsupported(f"The offset of {zone} in the year {year} is not known here. Write the time in UTC.")
        seconds = picos // SECOND
        utc = dt.datetime(year, month, day, seconds // 3600, seconds // 60 % 60, seconds % 60, tzinfo=dt.UTC)
        shift = int((utc.astimezone(zoneinfo.ZoneInfo(zone)).utcoffset() or dt.timedelta()).total_seconds())
    else:
        shift = minutes * 60
    days, picos = divmod(at_utc + shift * SECOND, DAY)
    return replace(moment, kind="timestamptz", days=days, picos=picos, zone=zone, known_offset=shift)


def cast(moment: Moment, to: Type) -> Moment | None:
    """Return a constant as another date or time type; None where the clock of the session would be needed."""
    kind, digits = to.name, to.args[0] if to.args else 0
    if kind == "date":
        return (
            replace(moment, kind="date", digits=0, picos=0, zone=None, known_offset=None)
            if moment.kind in {"date", "timestamp", "timestamptz"}
            else None
        )
    if moment.kind == "date":
        if kind == "timestamp":
            return replace(moment, kind=kind, digits=digits)
        return replace(moment, kind=kind, digits=digits, zone="UTC") if kind == "timestamptz" else None
    if moment.kind in {"time", "timetz"} and kind in {"timestamp", "timestamptz"}:
        return None
    zone = moment.zone
    if kind in {"timetz", "timestamptz"} and zone is None:
        zone = "UTC"
    if kind == "timetz":
        # Trino looks the offset up as if the clock's own time were UTC.
        seconds = moment.offset
        if zone is not None and offset_minutes(zone) is None and moment.kind == "timestamptz":
            seconds = in_zone(replace(moment, zone="UTC", known_offset=0), zone).offset
        minutes = seconds // 60
        zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    if kind in {"time", "timestamp"}:
        zone = None
    days = moment.days if kind in {"timestamp", "timestamptz"} else 0
    return replace(
        moment, kind=kind, days=days, zone=zone, known_offset=None if zone is None else moment.known_offset
    ).rounded(digits)


FIELDS: Final = {
    "year": "year", "quarter": "quarter", "month": "month", "week": "week", "week_of_year": "week", "day": "day",
    "day_of_month": "day", "day_of_week": "dow", "dow": "dow", "day_of_year": "doy", "doy": "doy", "year_of_week": "yow",
    "yow": "yow", "hour": "hour", "minute": "minute", "second": "second", "millisecond": "millisecond",
    "timezone_hour": "timezone_hour", "timezone_minute": "timezone_minute",
}  # fmt: skip


def field(moment: Moment, name: str) -> int | None:
    """Return a field as EXTRACT gives it; None where the type has no such field.

    >>> field(read_timestamp("2020-05-10 12:34:56"), "dow")
    7
    """
    seconds = moment.picos // SECOND
    if moment.kind != "date" and name in {"hour", "minute", "second", "millisecond"}:
        return {
            "hour": seconds // 3600,
            "minute": seconds // 60 % 60,
            "second": seconds % 60,
            "millisecond": moment.picos // 10**9 % 1000,
        }[name]
    if name.startswith("timezone_"):
        if moment.zone is None:
            return None
        sign = -1 if moment.offset < 0 else 1
        return sign * (abs(moment.offset) // 3600 if name == "timezone_hour" else abs(moment.offset) // 60 % 60)
    if moment.kind in {"time", "timetz"}:
        return None
    year, month, day = civil(moment.days)
    weekday = (moment.days + 3) % 7 + 1
    if name in {"week", "yow"}:
        thursday = civil(moment.days - weekday + 4)
        week = (moment.days - weekday + 4 - epoch_days(thursday[0], 1, 1)) // 7 + 1
        return week if name == "week" else thursday[0]
    return {
        "year": year, "quarter": (month + 2) // 3, "month": month, "day": day, "dow": weekday,
        "doy": moment.days - epoch_days(year, 1, 1) + 1,
    }.get(name)  # fmt: skip


def truncated(moment: Moment, unit: str) -> Moment | None:
    """Return the start of the unit a constant lies in; None where the type has no such unit."""
    step = {"millisecond": 10**9, "second": SECOND, "minute": 60 * SECOND, "hour": 3600 * SECOND}.get(unit)
    if step is not None:
        return replace(moment, picos=moment.picos - moment.picos % step) if moment.kind != "date" else None
    if moment.kind in {"time", "timetz"}:
        return None
    year, month, _ = civil(moment.days)
    days = {
        "day": moment.days,
        "week": moment.days - (moment.days + 3) % 7,
        "month": epoch_days(year, month, 1),
        "quarter": epoch_days(year, (month - 1) // 3 * 3 + 1, 1),
        "year": epoch_days(year, 1, 1),
    }.get(unit)
    return None if days is None else replace(moment, days=days, picos=0, known_offset=None)


def plus(moment: Moment, picos: int, months: int = 0) -> Moment:
    """Return a constant so much later: months first, held to the end of the month, then the rest, on the clock's own line."""
    days = moment.days
    if months:
        year, month, day = civil(days)
        total = year * 12 + month - 1 + months
        year, month = total // 12, total % 12 + 1
        days = epoch_days(year, month, min(day, days_in(year, month)))
    if moment.kind in {"time", "timetz"}:
        return replace(moment, picos=(moment.picos + picos) % DAY)
    if moment.kind == "timestamptz" and picos and moment.zone and offset_minutes(moment.zone) is None:
        shifted = in_zone(replace(moment, days=days, kind="timestamptz"), "UTC")
        days, rest = divmod(shifted.local + picos, DAY)
        return in_zone(replace(shifted, days=days, picos=rest), moment.zone)
    days, rest = divmod(days * DAY + moment.picos + picos, DAY)
    return replace(moment, days=days, picos=rest, known_offset=None)
