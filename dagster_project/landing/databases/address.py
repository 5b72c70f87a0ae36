"""The address of a database: where it comes from, what of it may be shown, and what may not.

What belongs here: reading it, and taking credentials out of what is told. What does not: connecting (a module for each
kind of database).

Rule: user, password and query of an address stand in the environment only, and come out in no error, row or log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from dagster_project.errors import SourceInvalid
from dagster_project.sources import DATABASES, TableSource

HIDDEN: Final = "***"
_PASSWORDS: Final = ("PGPASSWORD",)
"""Variables that a driver itself takes a password from."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is. `shown` is all of it that may be told."""

    kind: str
    shown: str
    text: str = field(repr=False)
    """The whole address, its scheme that of the kind."""
    host: str = ""
    port: int | None = None
    name: str = ""
    """The database, or the path of its file."""
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def clean(self, told: object) -> str:
        """Return what a driver said, in one line, without the credentials."""
        text = " ".join(str(told).split())
        options = (value for name, value in self.options.items() if "pass" in name.lower() or "pwd" in name.lower())
        written = self.text.partition("://")[2].rpartition("@")[0].partition(":")[2]  # as %XX, where it is so written
        secrets = {
            self.text,
            self.password or "",
            written,
            *options,
            *(os.environ.get(name, "") for name in _PASSWORDS),
        }
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return re.sub(rf"(?<!\w){re.escape(self.user)}(?!\w)", HIDDEN, text) if self.user else text


def address_of(source: TableSource) -> Address:
    """Return the address of the database of `source`. Raises `SourceInvalid`, which tells no credentials."""
    variable = source.address_variable
    text = source.path if variable is None else os.environ.get(variable, "")
    if not text:
        raise SourceInvalid(
            f"Source {source.name} takes its address from the variable {variable}, which is not set. Set it to "
            f"{source.path.partition('://')[0]}://user:password@host:port/database."
        )
    where = f"the variable {variable}" if variable else "`path`"
    scheme, _, rest = text.partition("://")
    kind = DATABASES.get(scheme.partition("+")[0].lower())
    if kind is None or kind != source.database:
        raise SourceInvalid(
            f"Source {source.name} has a path that begins {source.path.partition('://')[0]}://, and {where} holds no "
            "such address. Make both of one kind."
        )
    if kind in ("sqlite", "duckdb"):
        file = rest.removeprefix("/")
        return Address(kind, f"{kind}:///{file}", text, name=file)
    try:
        parts = urlsplit(f"{kind}://{rest}")
        port = parts.port
    except ValueError:
        raise SourceInvalid(
            f"Source {source.name} has no address in {where}: it cannot be parsed. Write it as "
            f"{kind}://user:password@host:port/database, with special characters of the password as %XX."
        ) from None
    host = parts.netloc.rpartition("@")[2]
    return Address(
        kind,
        f"{kind}://{host}{parts.path}",
        f"{kind}://{rest}",
        parts.hostname or "",
        port,
        unquote(parts.path.removeprefix("/")),
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        dict(parse_qsl(parts.query)),
    )
