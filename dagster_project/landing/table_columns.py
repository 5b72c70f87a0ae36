"""Which column of the raw table a header means, what it is called there, and what type its values have.

What belongs here: names, field ids, and the SQL that tells whether a text survives a type. What does not: reading.

Names: a header in lower case, its words joined by _, accents and all that is no letter, digit or _ of ASCII left out;
`column_<place>` if nothing is left, and `column_` before a digit. A word that SQL reserves, in DuckDB, Trino or
Redshift, gets a _ behind it; a name that is taken a number (`_2`), which counts up. It is at most 60 characters long.
The header as it was written is the column's comment, and the next file that has it means this column, wherever it
stands.
A column called `<name>__text` holds values of `<name>` that did not fit its type.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from dagster_project.contracts import BOOL, BYTES, INSTANT, INT, TEXT, Column, inner_fields, raw_table, struct_fields
from dagster_project.sql_words import literal, sql_type

DOUBLE: Final = pa.float64()
DATE: Final = pa.date32()
TIMESTAMP: Final = pa.timestamp("us")
GUESSED: Final[tuple[pa.DataType, ...]] = (INT, DOUBLE, BOOL, DATE, TIMESTAMP)
"""What is tried on the values of a CSV file, in this order."""
_OURS: Final = raw_table("any", "table").columns
RESERVED: Final = frozenset(column.name for column in _OURS)
BIGGEST_EXACT: Final = 1 << 53
"""Whole numbers beyond it are not all doubles."""
VARIANT: Final = "__text"
"""Ends the name of the column for values that do not fit the type of another."""
_LONGEST: Final = 60
_RESERVED_WORDS: Final = (
    "all alter analyse analyze and any array as asc asymmetric authorization backup between binary both by case cast "
    "check collate column constraint create cross cube current_catalog current_date current_path current_role "
    "current_schema current_time current_timestamp current_user database deallocate default deferrable delete desc "
    "describe distinct do drop else end escape except execute exists explain extract false fetch for "
    "foreign freeze from full grant group grouping having identity ignore ilike in initially inner insert intersect "
    "into is isnull join json_array json_exists json_object json_query json_table json_value lambda lateral leading "
    "left like limit listagg localtime localtimestamp minus natural new normalize not notnull null nulls off offset "
    "old on only open or order outer overlaps partition percent permissions pivot pivot_longer pivot_wider placing "
    "prepare primary qualify recursive references respect returning right rollup select session_user show similar "
    "skip snapshot some summarize symmetric system table tag then timestamp to top trailing trim true truncate "
    "uescape union unique unnest unpivot user using values variadic verbose wallet when where window with without"
)
"""Reserved in DuckDB 1.5 (`duckdb_keywords()`), Trino (trino.io/docs/current/language/reserved.html) or Redshift
(docs.aws.amazon.com/redshift/latest/dg/r_pg_keywords.html): quoted they are legal, and with a _ in nobody's way."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A column a file brings: its header as written, and the type its values have as far as known."""

    header: str
    type: pa.DataType


def kept_type(type_: pa.DataType) -> pa.DataType:
    """Return the type a value of an Arrow type is kept in: itself if the raw table has it, else text.

    >>> kept_type(pa.int16()), kept_type(pa.list_(pa.float32())), kept_type(pa.uint64())
    (DataType(int64), ListType(list<item: double>), DataType(string))
    """
    if pa.types.is_dictionary(type_):
        return kept_type(type_.value_type)
    if pa.types.is_list(type_) or pa.types.is_large_list(type_) or pa.types.is_fixed_size_list(type_):
        return pa.list_(kept_type(type_.value_type))
    if pa.types.is_map(type_):
        return pa.map_(TEXT, kept_type(type_.item_type)) if kept_type(type_.key_type) == TEXT else TEXT
    if pa.types.is_struct(type_):
        return pa.struct([(f.name, kept_type(f.type)) for f in struct_fields(type_)]) if _is_legal(type_) else TEXT
    if pa.types.is_timestamp(type_) and type_.unit != "ns":
        return TIMESTAMP if type_.tz is None else INSTANT
    if pa.types.is_integer(type_):
        return TEXT if type_ == pa.uint64() else INT
    if pa.types.is_floating(type_):
        return DOUBLE
    is_bytes = pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_)
    if is_bytes or pa.types.is_binary_view(type_):
        return BYTES
    return DATE if pa.types.is_date(type_) else BOOL if pa.types.is_boolean(type_) else TEXT


def _is_legal(type_: pa.DataType) -> bool:
    """Whether a struct's fields have names that Iceberg and DuckDB tell apart."""
    names = [field.name for field in struct_fields(type_)]
    is_told_apart = len({name.casefold() for name in names}) == len(names)
    return bool(names) and is_told_apart and all(name and "." not in name for name in names)


def snake_case(header: str, position: int) -> str:
    """Return a legal column name for a header; `column_<position>` (from 1) if no letter or digit of it is left.

    >>> [snake_case(h, 3) for h in ("createdAt", "Größe (cm)", "_id", "2020", "題", "HTTPStatus Code", "Order")]
    ['created_at', 'grosse_cm', 'id', 'column_2020', 'column_3', 'http_status_code', 'order_']
    """
    plain = unicodedata.normalize("NFKD", header.replace("ß", "ss")).encode("ascii", "ignore").decode()
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plain)
    name = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:_LONGEST].rstrip("_")
    if not name:
        return f"column_{position}"
    if name in _RESERVED_WORDS.split():
        return f"{name}_"
    return name if name[0].isalpha() else f"column_{name}"


def variant_name(name: str, taken: set[str]) -> str:
    """Return the name of the column for values that do not fit the type of column `name`.

    >>> variant_name("price", set()), variant_name("price", {"price__text"})
    ('price__text', 'price__text_2')
    """
    return _free(name + VARIANT, taken)


def place(headers: Sequence[str], known: Sequence[Column]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the column name of each header, and (name, header) of those that `known` does not have.

    The n-th column with a header is the n-th known column with the same doc; else the known column of the same
    name that this file does not use otherwise; else a new one, numbered where its name is taken.

    >>> place(["Title", "title", "sequence"], [])
    (['title', 'title_2', 'sequence_2'], [('title', 'Title'), ('title_2', 'title'), ('sequence_2', 'sequence')])
    """
    exact = _exact(headers, known)
    used = set(exact.values())
    taken = {column.name for column in known} | RESERVED
    names: list[str] = []
    new: list[tuple[str, str]] = []
    for index, header in enumerate(headers):
        name = exact.get(index) or snake_case(header, index + 1)
        if index not in exact and (name in used or name in RESERVED or name not in taken):
            name = _free(name, taken)
            new.append((name, header))
        used.add(name)
        taken.add(name)
        names.append(name)
    return names, new


def add_columns(
    known: Sequence[Column] | None, wanted: Mapping[str, Wanted], last_field_id: int = 0
) -> tuple[Column, ...]:
    """Return `known` with the `wanted` columns (by name) appended, numbered as Iceberg numbers them.

    With `known` None the table is yet to be made: all columns first, then what is in them. Else columns are
    added to a table: each column is followed by what is in it. Ids start after the highest in use, `last_field_id`
    included, so that the id of a dropped column is never used again.
    """
    present = tuple(known or ())
    ids = [i for column in (*_OURS, *present) for i in (column.field_id, *column.nested)]
    following = iter(range(max(last_field_id, *ids) + 1, 1 << 31))
    if known is None:
        first = [next(following) for _ in wanted]
        inner = [tuple(next(following) for _ in range(inner_fields(want.type))) for want in wanted.values()]
    else:
        numbers = [(next(following), _some(following, inner_fields(want.type))) for want in wanted.values()]
        first, inner = [number for number, _ in numbers], [within for _, within in numbers]
    columns = zip(first, wanted.items(), inner, strict=True)
    return (*present, *(Column(id_, name, want.type, want.header, nested) for id_, (name, want), nested in columns))


def _some(ids: Iterator[int], count: int) -> tuple[int, ...]:
    return tuple(next(ids) for _ in range(count))


def common_type(types: Iterable[pa.DataType]) -> pa.DataType:
    """Return the one type of all of them, whole numbers among others as DOUBLE; text where they differ."""
    found = set(types) - {pa.null()}
    if found == {INT, DOUBLE}:
        return DOUBLE
    return found.pop() if len(found) == 1 else TEXT


def survives(text: str, type_: pa.DataType) -> str:
    """Return SQL that is true if the text expression comes back the same from `type_` (never null for a text).

    Infinite and NaN are words, not numbers or days; years beyond 9999 are read by no Python.
    """
    name = sql_type(type_)
    value = f"TRY_CAST({text} AS {name})"
    same = f"CAST({value} AS VARCHAR) IS NOT DISTINCT FROM {text}"
    if type_ == DOUBLE:
        return f"({same} AND isfinite({value}))"
    if type_ in (DATE, TIMESTAMP):
        return f"({same} AND {value} BETWEEN {name} '0001-01-01' AND {name} '9999-12-31')"
    return f"({same})"


def is_in_years(value: str, type_: pa.DataType) -> str:
    """Return SQL that is true for a value of `type_` unless it is a day that Python and others cannot read.

    >>> is_in_years("n", pa.int64())
    'true'
    """
    name = sql_type(type_)
    if type_ not in (DATE, TIMESTAMP, INSTANT):
        return "true"
    return f"({value} BETWEEN {name} '0001-01-01' AND {name} '9999-12-31')"


def whole_or_exact(text: str) -> str:
    """Return SQL that is true for the text of a JSON number that a double holds without loss; null if it is none."""
    value = f"TRY_CAST({text} AS DOUBLE)"
    whole = f"regexp_full_match({text}, '-?[0-9]+') AND abs({value}) >= {BIGGEST_EXACT}"
    return f"(isfinite({value}) AND NOT ({whole}))"


def leaves(type_: pa.DataType) -> frozenset[pa.DataType]:
    """Return the types of what is not nested within a type.

    >>> sorted(map(str, leaves(pa.map_(pa.string(), pa.list_(pa.struct([("a", pa.int64())]))))))
    ['int64', 'string']
    """
    inner = [field.type for field in struct_fields(type_)] if pa.types.is_struct(type_) else []
    if pa.types.is_list(type_):
        inner = [type_.value_type]
    if pa.types.is_map(type_):
        inner = [type_.key_type, type_.item_type]
    return frozenset().union(*map(leaves, inner)) if pa.types.is_nested(type_) else frozenset((type_,))


def json_holds(value: str, type_: pa.DataType, *, depth: int = 0) -> str:
    """Return SQL that is true if a JSON value is one of `type_` and nothing else: no key, digit or word would be lost.

    A key that is missing is one that is null. What a value holds is taken out of its text once, and bound by a lambda:
    each naming of it would parse the text again. `depth` is how many lambdas are around it.
    """
    kind = f"coalesce(json_type({value}), 'NULL')"
    if pa.types.is_list(type_):
        each = json_holds(f"e{depth}", type_.value_type, depth=depth + 1)
        every = f"coalesce(list_bool_and(list_transform(json_extract({value}, '$[*]'), lambda e{depth}: {each})), true)"
        return f"({kind} = 'NULL' OR ({kind} = 'ARRAY' AND {every}))"
    if pa.types.is_map(type_):
        each = json_holds(f"e{depth}", type_.item_type, depth=depth + 1)
        every = f"coalesce(list_bool_and(list_transform(json_extract({value}, '$.*'), lambda e{depth}: {each})), true)"
        keys = f"json_keys({value})"
        once = f"len({keys}) = len(list_distinct({keys}))"
        return f"({kind} = 'NULL' OR ({kind} = 'OBJECT' AND {once} AND {every}))"
    if pa.types.is_struct(type_):
        fields = struct_fields(type_)
        pointers = ", ".join(_pointer(field.name) for field in fields)
        parts = [json_holds(f"s{depth}[{i}]", field.type, depth=depth + 1) for i, field in enumerate(fields, 1)]
        every = " AND ".join([f"len(json_keys({value})) = list_count(s{depth})", *parts])
        bound = f"list_transform([json_extract({value}, [{pointers}])], lambda s{depth}: {every})[1]"
        return f"({kind} = 'NULL' OR ({kind} = 'OBJECT' AND {bound}))"
    text = f"json_extract_string({value}, '$')"
    scalar = {
        TEXT: f"{kind} = 'VARCHAR'",
        INT: f"{kind} IN ('UBIGINT', 'BIGINT') AND TRY_CAST({text} AS BIGINT) IS NOT NULL",
        DOUBLE: f"{kind} IN ('UBIGINT', 'BIGINT', 'DOUBLE') AND {whole_or_exact(text)}",
        BOOL: f"{kind} = 'BOOLEAN'",
    }.get(type_, f"{kind} = 'VARCHAR' AND {survives(text, type_)}")
    return f"({kind} = 'NULL' OR ({scalar}))"


def _pointer(key: str) -> str:
    return literal("/" + key.replace("~", "~0").replace("/", "~1"))


def _exact(headers: Sequence[str], known: Sequence[Column]) -> dict[int, str]:
    """Return the known column of each header that one has as its doc, the n-th of each kind with the n-th."""
    by_doc: dict[str, list[str]] = {}
    for column in known:
        by_doc.setdefault(column.doc, []).append(column.name)
    found = {}
    for index, header in enumerate(headers):
        if by_doc.get(header):
            found[index] = by_doc[header].pop(0)
    return found


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number, bare = 2, name.rstrip("_")
    while f"{bare}_{number}" in taken:
        number += 1
    return f"{bare}_{number}"
