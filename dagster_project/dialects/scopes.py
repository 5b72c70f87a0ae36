"""What names mean where they stand: the columns of relations, the parameters of lambdas.

What belongs here: looking names up. What does not: reading FROM (`queries`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from dagster_project.dialects.typed import Typed, string
from dagster_project.dialects.types import ANY, JSON_PART, Type, field_names, quoted
from dagster_project.errors import Unsupported


class Column(NamedTuple):
    """A column of a relation: its name as it was written, None for one without, and its type."""

    name: str | None
    type: Type


@dataclass(slots=True)
class Relation:
    """What stands after FROM under one name. `columns` is None where nobody told of them."""

    alias: str | None
    columns: Sequence[Column] | None
    hidden: Sequence[Column] = ()
    """Columns that `*` does not stand for."""


@dataclass(slots=True)
class Scope:
    """The relations of one SELECT, the lambdas around an expression, and what stands around it all."""

    parent: Scope | None = None
    relations: list[Relation] = field(default_factory=list)
    merged: set[str] = field(default_factory=set)
    """Columns of USING, lower case: one column although two relations have it."""
    outputs: Mapping[str, Type] = field(default_factory=dict)
    """Names that ORDER BY may use, lower case."""
    parameters: Mapping[str, Typed] = field(default_factory=dict)
    """Parameters of a lambda, lower case."""

    def find(self, parts: Sequence[str]) -> Typed | None:
        """Return what a dotted name means here or around; None if nothing is known of it."""
        scope: Scope | None = self
        while scope is not None:
            found = scope._own(parts)
            if found is not None:
                return found
            scope = scope.parent
        return None

    def _own(self, parts: Sequence[str]) -> Typed | None:
        first = parts[0].lower()
        if first in self.parameters:
            return dereferenced(self.parameters[first], parts[1:])
        if len(parts) == 1 and first in self.outputs:
            return Typed(quoted(parts[0]), self.outputs[first])
        return self._column(parts) or self._qualified(parts)

    def _column(self, parts: Sequence[str]) -> Typed | None:
        name = parts[0].lower()
        holders = [
            (relation, column)
            for relation in self.relations
            for column in (*(relation.columns or ()), *relation.hidden)
            if column.name is not None and column.name.lower() == name
        ]
        if len(holders) > 1 and name not in self.merged:
            if len(parts) > 1:
                return None
            raise Unsupported(f"The column {parts[0]} stands in several relations. Name it with its relation.")
        if not holders:
            return None
        relation, column = holders[0]
        qualifier = "" if name in self.merged or relation.alias is None else f"{quoted(relation.alias)}."
        return dereferenced(Typed(f"{qualifier}{quoted(parts[0])}", column.type), parts[1:])

    def _qualified(self, parts: Sequence[str]) -> Typed | None:
        if len(parts) > 1:
            for relation in self.relations:
                names = (relation.alias or "").lower()
                if names and names == parts[0].lower():
                    return self._of(relation, parts[1:])
                if len(parts) > 2 and names and names == parts[1].lower():
                    return self._of(relation, parts[2:])
        unknown = [relation for relation in self.relations if relation.columns is None]
        if unknown and len(parts) == 1:
            return Typed(quoted(parts[0]), ANY)
        if unknown:
            return Typed(".".join(map(quoted, parts)), ANY)
        return None

    def _of(self, relation: Relation, parts: Sequence[str]) -> Typed | None:
        qualified = f"{quoted(relation.alias or '')}.{quoted(parts[0])}"
        if relation.columns is None:
            return dereferenced(Typed(qualified, ANY), parts[1:])
        found = [
            column
            for column in (*relation.columns, *relation.hidden)
            if column.name is not None and column.name.lower() == parts[0].lower()
        ]
        if len(found) > 1:
            raise Unsupported(f"{relation.alias} has several columns {parts[0]}. Give each a name of its own.")
        return dereferenced(Typed(qualified, found[0].type), parts[1:]) if found else None


def dereferenced(value: Typed, names: Sequence[str]) -> Typed:
    """Return the field of a field … of a row."""
    for name in names:
        value = field_of(value, name)
    return value


def part_of_json(value: Typed, steps: str) -> Typed:
    """Return what stands in JSON at the steps of a path; more steps may follow."""
    return Typed("", JSON_PART, (value, steps))


def field_of(value: Typed, name: str) -> Typed:
    """Return a field of a row by its name. Raises `Unsupported` if it has none such."""
    if value.type.name == "any":
        return Typed(f"struct_extract({value.sql}, {string(name)})", ANY)
    if value.type.name == "super":
        return Typed(f"json_extract({value.sql}, {string(chr(36) + '.' + quoted(name))})", value.type)
    if value.type.name == "json":
        return part_of_json(value, f'."{name}"')
    if value.type == JSON_PART:
        return part_of_json(value.const[0], f'{value.const[1]}."{name}"')
    if value.type.name != "row":
        raise Unsupported(f"{value.type} has no field {name}. Check the name of the column or relation.")
    for held, (told, kind) in zip(field_names(value.type), value.type.fields, strict=True):
        if (told or held).lower() == name.lower():
            return Typed(f"struct_extract({value.sql}, {string(held)})", kind)
    raise Unsupported(f"{value.type} has no field {name}. It has: {', '.join(field_names(value.type))}.")
