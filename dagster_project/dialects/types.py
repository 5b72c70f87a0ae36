"""The types of Trino, and what each is in DuckDB.

What belongs here: types, their names, the common type of two. What does not: making a value of one into a value of
another (`casts`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from dagster_project.errors import Unsupported

INTEGERS: Final = ("tinyint", "smallint", "integer", "bigint")
NUMBERS: Final = (*INTEGERS, "decimal", "real", "double")
UNBOUNDED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Type:
    """A type of Trino: its name, and what stands in its brackets.

    `decimal` has (precision, scale), `varchar` and `char` (length), times (digits of the second), `timestamptz` and
    `timetz` (digits, zone or None), `array` (element), `map` (key, value), `row` ((name or None, type), …), `json`
    (whether its text is canonical: keys sorted, no blanks).
    """

    name: str
    args: tuple[Any, ...] = ()

    @property
    def element(self) -> Type:
        """The type of an array's elements."""
        return self.args[0]

    @property
    def key(self) -> Type:
        """The type of a map's keys."""
        return self.args[0]

    @property
    def value(self) -> Type:
        """The type of a map's values."""
        return self.args[1]

    @property
    def is_integer(self) -> bool:
        """Whether it is one of the four integers."""
        return self.name in INTEGERS

    @property
    def is_number(self) -> bool:
        """Whether arithmetic is done with it."""
        return self.name in NUMBERS

    @property
    def is_float(self) -> bool:
        """Whether it is `real` or `double`, which know NaN."""
        return self.name in {"real", "double"}

    @property
    def is_text(self) -> bool:
        """Whether it is `varchar` or `char`."""
        return self.name in {"varchar", "char"}

    @property
    def is_known(self) -> bool:
        """Whether it is a type at all: neither that of NULL nor that of a column nobody told of."""
        return self.name not in {"unknown", "any"}

    @property
    def fields(self) -> tuple[tuple[str | None, Type], ...]:
        """The fields of a row."""
        return self.args

    def __str__(self) -> str:
        return _told(self)


UNKNOWN: Final = Type("unknown")
ANY: Final = Type("any")
BOOLEAN: Final = Type("boolean")
TINYINT: Final = Type("tinyint")
SMALLINT: Final = Type("smallint")
INTEGER: Final = Type("integer")
BIGINT: Final = Type("bigint")
REAL: Final = Type("real")
DOUBLE: Final = Type("double")
VARCHAR: Final = Type("varchar")
VARBINARY: Final = Type("varbinary")
JSON: Final = Type("json", (False,))
CANONICAL_JSON: Final = Type("json", (True,))
TEXT_JSON: Final = Type("json", (True, "text"))
"""JSON that is a text: `CAST('…' AS JSON)`, which reads nothing."""
JSON_PART: Final = Type("part of json")
"""What `j.name[0]` is while more of it may follow; its constant is the JSON and the steps of a path."""
DATE: Final = Type("date")
UUID: Final = Type("uuid")
INTERVAL: Final = Type("interval day to second")
MONTHS: Final = Type("interval year to month")


def decimal(precision: int, scale: int) -> Type:
    """Return `decimal(precision, scale)`."""
    return Type("decimal", (precision, scale))


def timestamp(digits: int) -> Type:
    """Return `timestamp(digits)`."""
    return Type("timestamp", (digits,))


def timestamptz(digits: int, zone: str | None) -> Type:
    """Return `timestamp(digits) with time zone` of values that all stand in `zone`; None if they need not."""
    return Type("timestamptz", (digits, zone))


def array(element: Type) -> Type:
    """Return `array(element)`."""
    return Type("array", (element,))


def map_of(key: Type, value: Type) -> Type:
    """Return `map(key, value)`."""
    return Type("map", (key, value))


def row(*fields: tuple[str | None, Type]) -> Type:
    """Return `row(…)`."""
    return Type("row", fields)


def _told(of: Type) -> str:
    if of.name == "array":
        return f"array({of.element})"
    if of.name == "map":
        return f"map({of.key}, {of.value})"
    if of.name == "row":
        return f"row({', '.join(f'{name} {kind}' if name else str(kind) for name, kind in of.fields)})"
    if of.name in {"timestamptz", "timetz"}:
        return f"{of.name[:-2]}({of.args[0]}) with time zone"
    if of.name == "json" or not of.args:
        return of.name
    return f"{of.name}({', '.join(map(str, of.args))})" if of.name == "decimal" else f"{of.name}({of.args[0]})"


PLAIN: Final = {
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double": "DOUBLE",
    "varchar": "VARCHAR",
    "char": "VARCHAR",
    "varbinary": "BLOB",
    "json": "JSON",
    "super": "JSON",
    "date": "DATE",
    "time": "TIME",
    "timetz": "TIMETZ",
    "timestamp": "TIMESTAMP",
    "timestamptz": "TIMESTAMPTZ",
    "uuid": "UUID",
    "ipaddress": "VARCHAR",
    "ipprefix": "VARCHAR",
    "interval day to second": "INTERVAL",
    "interval year to month": "INTERVAL",
    "unknown": "INTEGER",
}


def duckdb_type(of: Type) -> str:
    """Return the DuckDB type that holds values of a Trino type."""
    if of.name == "decimal":
        return f"DECIMAL({of.args[0]}, {of.args[1]})"
    if of.name == "array":
        return f"{duckdb_type(of.element)}[]"
    if of.name == "map":
        return f"MAP({duckdb_type(of.key)}, {duckdb_type(of.value)})"
    if of.name == "row":
        fields = (
            f"{quoted(n)} {duckdb_type(t)}" for n, t in zip(field_names(of), (t for _, t in of.fields), strict=True)
        )
        return f"STRUCT({', '.join(fields)})"
    if of.name in PLAIN:
        return PLAIN[of.name]
    raise Unsupported(f"DuckDB has no type for {of}. Leave the value out of the query, or read it as text.")


def quoted(name: str) -> str:
    """Return a name as an SQL identifier.

    >>> quoted('a b')
    '"a b"'
    """
    return '"' + name.replace('"', '""') + '"'


def field_names(of: Type) -> list[str]:
    """Return the names the fields of a row have in DuckDB: those without one are field0, field1, … as Athena shows them."""
    names: list[str] = []
    for index, (name, _) in enumerate(of.fields):
        wanted = name or f"field{index}"
        names.append(wanted if wanted.lower() not in {n.lower() for n in names} else f"{wanted}_{index}")
    return names


ALIASES: Final = {
    "int": "integer",
    "float": "real",
    "text": "varchar",
    "string": "varchar",
    "double precision": "double",
    "blob": "varbinary",
    "bytea": "varbinary",
    "binary": "varbinary",
    "bool": "boolean",
    "hugeint": "decimal",
    "timestamp with time zone": "timestamptz",
    "time with time zone": "timetz",
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double",
    "numeric": "decimal",
}


def type_named(text: str) -> Type:
    """Return the type that a schema tells of in DuckDB's or Trino's words; `any` for one that is not known here.

    >>> str(type_named("DECIMAL(10,2)")), str(type_named("STRUCT(a INTEGER, b VARCHAR)[]"))
    ('decimal(10, 2)', 'array(row(a integer, b varchar))')
    """
    text = " ".join(text.split())
    lower = text.lower()
    if lower.endswith("[]"):
        return array(type_named(text[:-2]))
    inside = re.fullmatch(r"([a-z ]+?) ?[(<](.*)[)>]( with(?:out)? time zone)?", lower)
    if inside is None:
        return _plain(lower)
    name, body = inside[1], text[len(inside[1]) :].strip()
    body = body[1 : body.rindex(">" if body.startswith("<") else ")")]
    parts = split_outside(body)
    if name in {"struct", "row"}:
        return row(*(_field(part) for part in parts))
    if name == "array":
        return array(type_named(parts[0]))
    if name == "map":
        return map_of(type_named(parts[0]), type_named(parts[1]))
    if name in {"decimal", "numeric"}:
        return decimal(int(parts[0]), int(parts[1]) if len(parts) > 1 else 0)
    if name in {"varchar", "char"}:
        return Type(name, (int(parts[0]),))
    if name == "timestamp":
        return timestamptz(int(parts[0]), "UTC") if inside[3] == " with time zone" else timestamp(int(parts[0]))
    return _plain(name)


def _plain(lower: str) -> Type:
    name = ALIASES.get(lower, lower)
    if name == "decimal":
        return decimal(38, 0)
    if name == "timestamp":
        return timestamp(6)
    if name == "timestamptz":
        return timestamptz(6, "UTC")
    if name == "time":
        return Type("time", (6,))
    if name == "json":
        return JSON
    return Type(name) if name in PLAIN and name != "unknown" and name != "timetz" else ANY


def _field(part: str) -> tuple[str | None, Type]:
    found = re.match(r'\s*(?:"((?:[^"]|"")*)"|([\w$]+))\s*[ :]\s*(.+)$', part, re.DOTALL)
    if found is None:
        return None, type_named(part)
    return (found[1] or found[2]).replace('""', '"'), type_named(found[3])


def split_outside(text: str) -> list[str]:
    """Split at the commas that stand in no brackets and no quotes."""
    parts, depth, quote, start = [], 0, False, 0
    for at, char in enumerate(text):
        if char == '"':
            quote = not quote
        elif not quote and char in "(<[":
            depth += 1
        elif not quote and char in ")>]":
            depth -= 1
        elif char == "," and not depth and not quote:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def common(one: Type, other: Type) -> Type | None:
    """Return the type that values of both take beside each other (Trino's TypeCoercion); None if there is none."""
    if one == other or other.name == "unknown":
        return one
    if one.name == "unknown":
        return other
    if "any" in {one.name, other.name}:
        return ANY
    if one.is_number and other.is_number:
        return _common_number(one, other)
    names = {one.name, other.name}
    if names == {"varchar"}:
        return Type("varchar", (max(one.args[0], other.args[0]),)) if one.args and other.args else VARCHAR
    if names == {"char"}:
        return Type("char", (max(one.args[0], other.args[0]),))
    if names == {"char", "varchar"}:
        return VARCHAR
    if one.name == other.name:
        if one.name in {"time", "timestamp"}:
            return Type(one.name, (max(one.args[0], other.args[0]),))
        if one.name in {"timestamptz", "timetz"}:
            return Type(
                one.name, (max(one.args[0], other.args[0]), one.args[1] if one.args[1] == other.args[1] else None)
            )
        if one.name == "json":
            return JSON
        if one.name in {"array", "map"}:
            parts = [common(a, b) for a, b in zip(one.args, other.args, strict=True)]
            return None if None in parts else Type(one.name, tuple(parts))
        if one.name == "row" and len(one.fields) == len(other.fields):
            kinds = [common(a, b) for (_, a), (_, b) in zip(one.fields, other.fields, strict=True)]
            names_ = [
                a if a and b and a.lower() == b.lower() else None
                for (a, _), (b, _) in zip(one.fields, other.fields, strict=True)
            ]
            return None if None in kinds else row(*zip(names_, kinds, strict=True))  # type: ignore[arg-type]
        return None
    if names == {"date", "timestamp"}:
        return one if one.name == "timestamp" else other
    if names == {"date", "timestamptz"} or names == {"timestamp", "timestamptz"}:
        zoned, plain = (one, other) if one.name == "timestamptz" else (other, one)
        digits = max(zoned.args[0], plain.args[0] if plain.args else 0)
        return timestamptz(digits, zoned.args[1] if zoned.args[1] == "UTC" else None)
    return None


AS_DECIMAL: Final = {"tinyint": 3, "smallint": 5, "integer": 10, "bigint": 19}


def as_decimal(of: Type) -> Type:
    """Return the decimal that holds every value of an integer."""
    return of if of.name == "decimal" else decimal(AS_DECIMAL[of.name], 0)


def _common_number(one: Type, other: Type) -> Type:
    if "double" in {one.name, other.name}:
        return DOUBLE
    if "real" in {one.name, other.name}:
        return REAL
    if one.is_integer and other.is_integer:
        return max(one, other, key=lambda kind: INTEGERS.index(kind.name))
    (p1, s1), (p2, s2) = as_decimal(one).args, as_decimal(other).args
    scale = max(s1, s2)
    return decimal(min(38, max(p1 - s1, p2 - s2) + scale), scale)


def common_of(types: Iterable[Type], where: str) -> Type:
    """Return the common type of all. Raises `Unsupported`, naming `where`, if there is none."""
    found = UNKNOWN
    for each in types:
        together = common(found, each)
        if together is None:
            raise Unsupported(
                f"{where} takes values of one type, and Athena has none for {found} and {each}. CAST one of them."
            )
        found = together
    return found
