"""How the columns of a table are asked for, where a kind of database has types that are not kept as they are."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Selected:
    """The `how` of a table's head: the schema its batches come in, and what stands between SELECT and FROM."""

    schema: pa.Schema
    columns: str = "*"
