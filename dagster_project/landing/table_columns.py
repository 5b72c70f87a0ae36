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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from dagster_project.contracts import BOOL, BYTES, INSTANT, INT, TEXT, Column, inner_fields, raw_table, struct_fields
from dagster_project.sql_words import pointer, sql_type

DOUBLE: Final = pa.float64()
DATE: Final = pa.date32()
TIMESTAMP: Final = pa.timestamp("us")
GUESSED: Final[tuple[pa.DataType, ...]] = (INT, DOUBLE, BOOL, DATE, TIMESTAMP)
"""What is tried on the values of a CSV file, in this order."""
_OURS: Final = raw_table("any", "table").columns
RESERVED: Final = frozenset(column.name for column in _OURS)
MOST_DIGITS: Final = 38
"""Of a decimal, in Iceberg, Parquet's readers and DuckDB alike."""
MOST_FIELDS: Final = 200
"""A struct does not grow beyond: an object with ever new keys is data."""
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
    if pa.types.is_decimal(type_):
        is_held = type_.precision <= MOST_DIGITS and 0 <= type_.scale <= type_.precision
        return pa.decimal128(type_.precision, type_.scale) if is_held else TEXT
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
    following = _following(present, last_field_id)
    if known is None:
        first = [next(following) for _ in wanted]
        inner = [tuple(next(following) for _ in range(inner_fields(want.type))) for want in wanted.values()]
    else:
        numbers = [(next(following), _some(following, inner_fields(want.type))) for want in wanted.values()]
        first, inner = [number for number, _ in numbers], [within for _, within in numbers]
    columns = zip(first, wanted.items(), inner, strict=True)
    return (*present, *(Column(id_, name, want.type, want.header, nested) for id_, (name, want), nested in columns))


def grow_columns(
    known: Sequence[Column], grown: Mapping[str, pa.DataType], last_field_id: int = 0
) -> tuple[Column, ...]:
    """Return `known` with the types that some have `grown` to, by name; new fields within them get new ids."""
    following = _following(known, last_field_id)
    return tuple(
        replace(column, type=type_, nested=tuple(_ids_within(column.type, type_, iter(column.nested), following)))
        if (type_ := grown.get(column.name, column.type)) != column.type
        else column
        for column in known
    )


def _following(present: Sequence[Column], last_field_id: int) -> Iterator[int]:
    """Give ids that no column has or had."""
    ids = [i for column in (*_OURS, *present) for i in (column.field_id, *column.nested)]
    return iter(range(max(last_field_id, *ids) + 1, 1 << 31))


def _ids_within(old: pa.DataType, new: pa.DataType, known: Iterator[int], following: Iterator[int]) -> Iterator[int]:
    """Give the ids of the fields within `new`, which `old` has grown to, as `contracts.inner_fields` walks."""
    if pa.types.is_list(old):
        yield next(known)
        yield from _ids_within(old.value_type, new.value_type, known, following)
    elif pa.types.is_map(old):
        yield next(known)
        yield next(known)
        yield from _ids_within(old.item_type, new.item_type, known, following)
    elif pa.types.is_struct(old):
        for before, after in zip(struct_fields(old), struct_fields(new), strict=False):
            yield next(known)
            yield from _ids_within(before.type, after.type, known, following)
        for added in struct_fields(new)[old.num_fields :]:
            yield from _some(following, 1 + inner_fields(added.type))


def _some(ids: Iterator[int], count: int) -> tuple[int, ...]:
    return tuple(next(ids) for _ in range(count))


def common_type(types: Iterable[pa.DataType]) -> pa.DataType:
    """Return the one type of all of them: whole numbers among others as DOUBLE, structs with the fields of all.

    Text where they differ, and where a field within them does.

    >>> common_type([pa.struct([("a", pa.int64())]), pa.struct([("b", pa.string()), ("a", pa.float64())])])
    StructType(struct<a: double, b: string>)
    """
    found = list(dict.fromkeys(types))
    together = found[0] if found else pa.null()
    for other in found[1:]:
        together = _united(together, other) or TEXT
    return TEXT if pa.types.is_null(together) else together


def _united(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type for the values of both; None if there is none but text."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if {one, other} == {INT, DOUBLE}:
        return DOUBLE
    if pa.types.is_decimal(one) and pa.types.is_decimal(other) and one.scale == other.scale:
        return max(one, other, key=lambda type_: type_.precision)
    if pa.types.is_list(one) and pa.types.is_list(other):
        element = _united(one.value_type, other.value_type)
        return None if element is None else pa.list_(element)
    if pa.types.is_map(one) and pa.types.is_map(other):
        value = _united(one.item_type, other.item_type)
        return None if value is None else pa.map_(TEXT, value)
    if pa.types.is_struct(one) and pa.types.is_struct(other):
        fields: dict[str, pa.DataType | None] = {field.name: field.type for field in struct_fields(one)}
        for field in struct_fields(other):
            before = fields.get(field.name, pa.null())
            fields[field.name] = None if before is None else _united(before, field.type)
        whole = pa.struct([(name, type_) for name, type_ in fields.items() if type_ is not None])
        return whole if whole.num_fields == len(fields) and _is_legal(whole) else None
    return None


def grown(known: pa.DataType, found: pa.DataType, *, fields: bool = True, digits: bool = True) -> pa.DataType:
    """Return the type of a column that stands, grown to what was `found` as far as Iceberg lets it.

    Structs get the `fields` they lack, at any depth, behind those they have; decimals of the same scale more `digits`.
    All that is of another type stays, and values of it do not fit.

    >>> grown(pa.list_(pa.struct([("a", pa.int64())])), pa.list_(pa.struct([("b", pa.bool_()), ("a", pa.string())])))
    ListType(list<item: struct<a: int64, b: bool>>)
    """

    def inner(one: pa.DataType, other: pa.DataType) -> pa.DataType:
        return grown(one, other, fields=fields, digits=digits)

    if pa.types.is_list(known) and pa.types.is_list(found):
        return pa.list_(inner(known.value_type, found.value_type))
    if pa.types.is_map(known) and pa.types.is_map(found):
        return pa.map_(known.key_type, inner(known.item_type, found.item_type))
    if pa.types.is_struct(known) and pa.types.is_struct(found):
        of_found = {field.name: field.type for field in struct_fields(found)}
        own = {f.name: inner(f.type, of_found.get(f.name, f.type)) for f in struct_fields(known)}
        whole = pa.struct(list((own | {n: t for n, t in of_found.items() if n not in own}).items()))
        return (
            whole if fields and whole.num_fields <= MOST_FIELDS and _is_legal(whole) else pa.struct(list(own.items()))
        )
    if pa.types.is_decimal(known) and pa.types.is_decimal(found) and known.scale == found.scale and digits:
        return max(known, found, key=lambda type_: type_.precision)
    return known


def holds_all(type_: pa.DataType, own: pa.DataType) -> bool:
    """Whether a column holds every value of another type as it is: the same one, or one that this has grown from.

    >>> holds_all(pa.decimal128(9, 2), pa.decimal128(5, 2)), holds_all(pa.float64(), pa.int64())
    (True, False)
    """
    if pa.types.is_list(type_) and pa.types.is_list(own):
        return holds_all(type_.value_type, own.value_type)
    if pa.types.is_map(type_) and pa.types.is_map(own):
        return type_.key_type == own.key_type and holds_all(type_.item_type, own.item_type)
    if pa.types.is_struct(type_) and pa.types.is_struct(own):
        fields = {field.name: field.type for field in struct_fields(type_)}
        return all(f.name in fields and holds_all(fields[f.name], f.type) for f in struct_fields(own))
    if pa.types.is_decimal(type_) and pa.types.is_decimal(own):
        return bool(type_.scale == own.scale and type_.precision >= own.precision)
    return bool(own == type_)


def new_fields(known: pa.DataType, found: pa.DataType) -> list[str]:
    """Return the fields of structs that `found` has and `known` lacks, as paths behind dots; lists and maps no part.

    >>> new_fields(pa.struct([("a", pa.int64())]), pa.struct([("a", pa.int64()), ("b", pa.int64())]))
    ['b']
    """
    if pa.types.is_list(known) and pa.types.is_list(found):
        return new_fields(known.value_type, found.value_type)
    if pa.types.is_map(known) and pa.types.is_map(found):
        return new_fields(known.item_type, found.item_type)
    if not (pa.types.is_struct(known) and pa.types.is_struct(found)):
        return []
    own = {field.name: field.type for field in struct_fields(known)}
    return [
        path
        for field in struct_fields(found)
        for path in (
            [f"{field.name}.{path}" for path in new_fields(own[field.name], field.type)]
            if field.name in own
            else [field.name]
        )
    ]


def without_fields(type_: pa.DataType, paths: Collection[str], within: str = "") -> pa.DataType:
    """Return a type without the fields at `paths`, as `new_fields` gives them."""
    if pa.types.is_list(type_):
        return pa.list_(without_fields(type_.value_type, paths, within))
    if pa.types.is_map(type_):
        return pa.map_(type_.key_type, without_fields(type_.item_type, paths, within))
    if not pa.types.is_struct(type_):
        return type_
    kept = [field for field in struct_fields(type_) if within + field.name not in paths]
    return pa.struct([(f.name, without_fields(f.type, paths, f"{within}{f.name}.")) for f in kept])


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
        pointers = ", ".join(pointer(field.name) for field in fields)
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
