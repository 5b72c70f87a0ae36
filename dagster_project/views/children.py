"""Child tables: the elements of a list or map in a table source's rows, a row each, as `tables.<source>__<column>`.

What belongs here: which child tables a raw table has, what they are called, their columns and their SQL. What does not:
which rows are current (`scans`), and the file that views are put in (`publish`).

A child table is a view: it stores nothing, and reads the list and what tells the row it is in. Its path is a column,
then fields of structs; what is in an element goes by the child's own columns, so that lists in lists have child tables
of their own: `orders.items.taxes` is `tables.<source>__orders__items__taxes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from dagster_project.contracts import INT, Column, Current, Table, struct_fields, variant_doc
from dagster_project.landing.table_columns import snake_case
from dagster_project.sql_words import identifier, literal, sql_type
from dagster_project.views.scans import ARRIVAL, current_rows, validity

ALL: Final = "*"
"""In place of a path: every list and map, however deep."""
_PLACE: Final = ("_file", "_row", "_row_hash")
_LIST: Final = '"list of elements"'  # names that no column of raw has
_ELEMENT: Final = '"element {}"'
_ORDINAL: Final = '"ordinal {}"'


@dataclass(frozen=True, slots=True)
class Child:
    """A child table: the path of its list or map below the raw table, and its columns."""

    table: Table
    name: str
    path: tuple[str, ...]
    type: pa.DataType
    depth: int
    """How many lists and maps it is within, itself included."""

    @property
    def row(self) -> str:
        """What a row of it is."""
        return f"an element of {'.'.join(self.path)} in a row of tables.{self.table.name}"

    @property
    def columns(self) -> tuple[Column, ...]:
        """What is in an element, which one it is, the key of its row, and where that stands."""
        return tuple(column for _, column in _columns(self))

    def select(self, *, quarantine: str | None = None, ledger: str | None = None) -> str:
        """Return its SELECT; the arguments are those of `scans.current_rows`."""
        held = [*_keys(self.table), *validity(self.table), *map(self.table.column, _PLACE)]
        rows = current_rows(
            self.table,
            quarantine=quarantine,
            ledger=ledger,
            columns=tuple(dict.fromkeys((*held, self.table.column(self.path[0])))),
        )
        kept = ", ".join(identifier(column.name) for column in held)
        value, opened = identifier(self.path[0]), 0
        type_ = self.table.column(self.path[0]).type
        for part in (*self.path[1:], None):
            if not pa.types.is_struct(type_):
                opened += 1
                rows = _opened(rows, kept, value, type_, opened)
                value, type_ = _ELEMENT.format(opened), _element(type_)
            if part is not None and pa.types.is_struct(type_):
                value, type_ = f"struct_extract({value}, {literal(part)})", type_.field(part).type
        shown = ", ".join(f"{sql} AS {identifier(column.name)}" for sql, column in _columns(self))
        return f"SELECT {shown} FROM (\n{rows}\n)"


def child_tables(table: Table) -> tuple[Child, ...]:
    """Return the child tables of the raw table of a table source that are asked for and that it can have.

    Names that are taken get a number, in the order of the columns.
    """
    wanted = (table.current or Current()).children
    taken: set[str] = set()
    found = []
    for path, type_, depth in _lists(table):
        if ALL in wanted or ".".join(path) in wanted:
            name = "__".join((table.name, path[0], *(snake_case(part, 1) for part in path[1:])))
            number, free = 2, name
            while free in taken:
                number, free = number + 1, f"{name}_{number}"
            taken.add(free)
            found.append(Child(table, f"tables.{free}", path, type_, depth))
    return tuple(found)


def not_to_be_had(table: Table) -> dict[str, str]:
    """Return the paths that are asked for and lead to no list or map, each with what there is instead."""
    lists = {".".join(path) for path, *_ in _lists(table)} | {ALL}
    told = {}
    for path in (table.current or Current()).children:
        if path not in lists:
            own = [column for column in table.columns[len(ARRIVAL) :] if column.name == path]
            there = f"holds {sql_type(own[0].type)}" if own else "is not there"
            told[path] = f"{there}; lists and maps are {', '.join(sorted(lists - {ALL})) or 'none'}"
    return told


# --- paths ----------------------------------------------------------------------------------------------------------


def _lists(table: Table) -> Iterator[tuple[tuple[str, ...], pa.DataType, int]]:
    """Give path, type and depth of each list and map of the source's own columns."""
    for column in table.columns[len(ARRIVAL) :]:
        yield from _within((column.name,), column.type, 0)


def _within(
    path: tuple[str, ...], type_: pa.DataType, depth: int
) -> Iterator[tuple[tuple[str, ...], pa.DataType, int]]:
    if pa.types.is_list(type_) or pa.types.is_map(type_):
        depth += 1
        yield path, type_, depth
        type_ = _element(type_)
    for field in struct_fields(type_) if pa.types.is_struct(type_) else ():
        yield from _within((*path, field.name), field.type, depth)


def _element(type_: pa.DataType) -> pa.DataType:
    """Return the struct of the columns that elements of a list or map give."""
    if pa.types.is_map(type_):
        return pa.struct([("key", type_.key_type), ("value", type_.item_type)])
    is_struct = pa.types.is_struct(type_.value_type)
    return type_.value_type if is_struct else pa.struct([("value", type_.value_type)])


# --- SQL ------------------------------------------------------------------------------------------------------------


def _opened(rows: str, kept: str, value: str, type_: pa.DataType, number: int) -> str:
    """Return the SELECT that gives each element of a list or map a row, as a struct, with its place from 1."""
    elements = f"map_entries({value})" if pa.types.is_map(type_) else value
    element = f"unnest({_LIST})"
    if pa.types.is_list(type_) and not pa.types.is_struct(type_.value_type):
        element = f"struct_pack(value := {element})"
    before = "".join(f", {_ORDINAL.format(outer)}" for outer in range(1, number))
    return (
        f"SELECT {kept}{before}, {element} AS {_ELEMENT.format(number)}, "
        f"generate_subscripts({_LIST}, 1) AS {_ORDINAL.format(number)} "
        f"FROM (SELECT *, {elements} AS {_LIST} FROM (\n{rows}\n))"
    )


def _columns(child: Child) -> list[tuple[str, Column]]:
    """Return the columns with their SQL. A name of ours that an element's field has gets a _ before it."""
    element = _ELEMENT.format(child.depth)
    path = ".".join(child.path)
    fields = struct_fields(_element(child.type))
    shown = [
        (
            f"struct_extract({element}, {literal(field.name)})",
            Column(0, field.name, field.type, f"{field.name} of {path}"),
        )
        for field in fields
    ]
    ours = [(_ORDINAL.format(child.depth), Column(0, "_ordinal", INT, f"Its place in {path}, from 1"))]
    if child.depth > 1:
        outer = ", ".join(_ORDINAL.format(number) for number in range(1, child.depth))
        doc = "Places of the elements it is within, the outermost first, each from 1"
        ours.append((f"[{outer}]", Column(0, "_parent_ordinals", pa.list_(INT), doc)))
    ours += [
        (identifier(key.name), Column(0, f"_parent_{key.name}", key.type, f"{key.name} of the row it is in"))
        for key in _keys(child.table)
    ]
    ours += [(identifier(column.name), column) for column in validity(child.table)]
    ours += [(identifier(name), child.table.column(name)) for name in _PLACE]
    taken = {field.name.casefold() for field in fields}
    for sql, column in ours:
        name = column.name
        while name.casefold() in taken:
            name = f"_{name}"
        taken.add(name.casefold())
        shown.append((sql, Column(0, name, column.type, column.doc)))
    return shown


def _keys(table: Table) -> list[Column]:
    """Return the columns that are the key of a row, those of values that do not fit them too."""
    key = (table.current or Current()).key
    by_doc = {column.doc: column for column in table.columns}
    variants = (by_doc.get(variant_doc(name)) for name in key)
    return [*map(table.column, key), *(column for column in variants if column is not None)]
