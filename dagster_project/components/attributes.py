"""The attributes of a source's YAML: the fields of `dagster_project.sources`, told to Dagster as they stand there.

What belongs here: turning a declaration into the model that `dg` checks YAML against. What does not: any field.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from dagster_project.sources import Declared

TEMPLATE: Final = r"\{\{.*\}\}"
"""A value that Dagster fills in, such as `{{ env.BUCKET }}`; it is checked once it is filled in."""

_Template = Annotated[str, Field(pattern=TEMPLATE)]


@cache
def attributes_of(declared: type[Declared]) -> type[BaseModel]:
    """Return a model with the fields of `declared`, each of which may be a template instead of its value.

    >>> from dagster_project.sources import StreamSource
    >>> model = attributes_of(StreamSource)
    >>> model(name="live", path="{{ env.SHARDS }}", dedupe_days="{{ env.DAYS }}").dedupe_days
    '{{ env.DAYS }}'
    """
    fields: dict[str, Any] = {name: _field(info) for name, info in declared.model_fields.items()}
    return create_model(declared.__name__, __config__=ConfigDict(extra="forbid"), __doc__=declared.__doc__, **fields)


def _field(info: FieldInfo) -> tuple[Any, Any]:
    """Return type and default of a field; its limits hold for values only, or a template would break them."""
    default = ... if info.is_required() else info.get_default(call_default_factory=True)
    return info.rebuild_annotation() | _Template, Field(default, description=info.description)
