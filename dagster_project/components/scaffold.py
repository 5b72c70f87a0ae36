"""What `dg scaffold defs dagster_project.components.DocumentSource sources/my_vault` writes: a commented `defs.yaml`.

What belongs here: putting a name and a path into a template. What does not: the templates' words (`templates/`).
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import Final

import click
import dagster as dg
import yaml
from pydantic import BaseModel, Field

from dagster_project.sources import DECLARATION, NAME_PATTERN

FOLDER: Final = "sources"
TEMPLATES: Final = Path(__file__).parent / "templates"


class ScaffoldParams(BaseModel):
    """What can be said on the command line."""

    path: str | None = Field(None, description="Where the notes are: a folder or file, or s3://bucket/prefix.")


class SourceScaffolder(dg.Scaffolder[ScaffoldParams]):
    """Writes the `defs.yaml` of a new source."""

    @classmethod
    def get_scaffold_params(cls) -> type[ScaffoldParams]:
        """Return the model of the options of `dg scaffold defs`."""
        return ScaffoldParams

    def scaffold(self, request: dg.ScaffoldRequest[ScaffoldParams]) -> None:
        """Write the declaration. Raises `click.UsageError` for a folder where a source would not be found."""
        kind = request.type_name.rsplit(".", 1)[-1]
        target = request.target_path
        if wrong := _misplaced(target, kind):
            with suppress(OSError):
                target.rmdir()  # dg has made it already; if something lies in it, it stays
            raise click.UsageError(wrong)
        text = declaration(kind, name=target.name, path=request.params.path)
        (target / DECLARATION).write_text(text, "utf-8")


def _misplaced(target: Path, kind: str) -> str | None:
    if target.parent.name != FOLDER:
        return f"Sources live in {FOLDER}/. Write: dg scaffold defs {kind} {FOLDER}/{target.name}"
    if not re.match(NAME_PATTERN, target.name):
        return f"{target.name!r} is no name of a source: lower case letters, digits and _, a letter first."
    return None


def declaration(kind: str, *, name: str, path: str | None = None) -> str:
    """Return the text of a new `defs.yaml` for a source of class `kind`.

    >>> "name: my_vault" in declaration("DocumentSource", name="my_vault")
    True
    """
    template = (TEMPLATES / f"{kind}.yaml").read_text("utf-8")
    place = yaml.safe_dump(path or f"data/{name}", width=10_000, allow_unicode=True).splitlines()[0]
    return Template(template).substitute(name=name, path=place)
