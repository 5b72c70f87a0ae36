"""A batch: the arrivals of one landing of one source on their way to the tables, or some that were refused before.

While it is worked on, what is known of it lies in temporary tables of its own DuckDB connection:

    replaced   note_id                     notes whose rows make way
    refusals   unit, rule, reason, key, file, line, payload, sequence
    given_up   unit, rule, sequence, discarded_why: refusals of what was given up before, and says the same still
    inputs     one row per input, in the ledger's columns; `unit` where an input is one unit, `unchanged` units in it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import md5
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import duckdb
import pyarrow as pa

from dagster_project.contracts import BY_IDENTIFIER, EVENTS, Table
from dagster_project.lake.figures import files_reaching
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation, scan
from dagster_project.lake.staging import StagedFile, discard
from dagster_project.sources import Source
from dagster_project.sql_words import literal
from dagster_project.steps.seen import Seen

if TYPE_CHECKING:
    from dagster_project.lake.lake import Lake  # workers import this module, and need no catalog
    from dagster_project.steps.tidy import Tidy

REFUSALS: Final = (
    "unit VARCHAR, rule VARCHAR, reason VARCHAR, key VARCHAR, file VARCHAR, line BIGINT, payload VARCHAR, "
    "sequence BIGINT"
)
Part = Literal["whole", "events", "fold"]
"""What a batch makes: all that its arrivals become; of a stream also its events alone, or the notes of events that are
committed already."""
INPUTS: Final = (
    "path VARCHAR, op VARCHAR, status VARCHAR, parser VARCHAR, seen BIGINT, committed BIGINT, duplicate BIGINT, "
    "quarantined BIGINT, failed BIGINT, removed BIGINT, unchanged BIGINT, bytes BIGINT, dropped VARCHAR, "
    "error VARCHAR, line BIGINT, sequence BIGINT, unit VARCHAR, encoding VARCHAR, characters_in BIGINT, "
    "characters_out BIGINT, discarded BIGINT"
)


@dataclass(slots=True)
class Batch:
    """Arrivals `after` < sequence <= `to` of a source, and the files staged for them so far.

    A batch of arrivals that come `again` begins and ends at the note cursor and moves it nowhere. A stream may commit
    its events first and fold them into notes later: then `after` and `to` are of the cursor of that `part`.
    """

    lake: Lake
    source: Source
    pins: Mapping[str, Pin]
    after: int
    to: int
    con: duckdb.DuckDBPyConnection
    now: datetime
    again: tuple[int, ...] = ()
    """Earlier arrivals that are shaped again, in order; then the batch is of these and no others."""
    part: Part = "whole"
    later: list[pa.Table] = field(default_factory=list)
    """Rows of ops.audits that the next fold of the stream writes down, so that a commit of events need not."""
    told: pa.Table | None = None
    """Those of this batch, if it is one of events alone; they become `later` once it is committed."""
    arrived: pa.Table | None = None
    """The batch's rows of a stream's raw and no others, where they are at hand."""
    seen: Seen | None = None
    tidy: Tidy | None = None
    """Makes small files of notes.events into larger ones beside the commits; without it they do."""
    near: tuple[str, ...] | None = None
    """Files of notes.events that may hold an id of an arrival, where `seen` says so: no other is looked at then."""
    staged: dict[str, tuple[StagedFile, ...]] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    """Table properties of notes.notes to set with the commit, beside the note cursor."""
    _spilled: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.con.execute("CREATE OR REPLACE TEMP TABLE replaced (note_id VARCHAR)")
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE refusals ({REFUSALS})")
        self.con.execute(f"CREATE OR REPLACE TEMP TABLE inputs ({INPUTS})")
        if self.arrived is not None:
            self.con.register("arrived_rows", self.arrived)

    @property
    def batch_id(self) -> str:
        """Made from what the batch is of, so that doing it again gives the same id.

        Two runs over the same arrivals thus replace each other's rows in `ops` and never double them.
        """
        if self.again:
            digest = md5(",".join(map(str, self.again)).encode(), usedforsecurity=False)
            return f"{self.source.name}-again-{digest.hexdigest()[:16]}"
        made = "-fold" if self.part == "fold" else ""
        return f"{self.source.name}{made}-{self.after + 1:012d}-{self.to:012d}"

    @property
    def arrivals(self) -> str:
        """SQL that is true for the `sequence` of an arrival that the batch is of."""
        if self.again:
            return f"sequence IN ({', '.join(map(str, self.again))})"
        return f"(sequence > {self.after} AND sequence <= {self.to})"

    @property
    def raw(self) -> str:
        """`raw.<source>`, as SQL that can stand after FROM; of a stream only files that reach into the batch."""
        if self.arrived is not None:
            return "arrived_rows"
        pin = self.pins[f"raw.{self.source.name}"]
        if self.source.kind == "stream" and not self.again:
            return relation(pin, files_reaching(self.lake, pin, self.after))
        return relation(pin)

    @property
    def is_fresh(self) -> str:
        """SQL that is true for the `sequence` of an arrival in `raw` that the batch is of."""
        return self.arrivals if self.arrived is None else "true"

    def current(self, table: Table) -> str | None:
        """Return this source's present rows of `table` as SQL; None if there are none."""
        pin = self.pins[table.identifier]
        files: Sequence[str] = [file.file_path for file in self.lake.source_files(pin, self.source.name)]
        if table == EVENTS and self.near is not None:
            files = self.near
        return relation(pin, files) if files else None

    def rows(self, table: Table) -> str | None:
        """Return the staged rows of `table` as SQL; None if there are none."""
        files = [file.path for file in self.staged.get(table.identifier, ())]
        return scan(table.columns, files) if files else None

    def stage(self, table: Table, files: tuple[StagedFile, ...]) -> None:
        """Add staged files of `table`."""
        if files:
            self.staged[table.identifier] = (*self.staged.get(table.identifier, ()), *files)

    def restage(self, table: Table, files: tuple[StagedFile, ...]) -> None:
        """Put `files` in place of what was staged for `table`, and delete that."""
        discard(self.lake, self.staged.pop(table.identifier, ()))
        self.stage(table, files)

    def spilled(self, name: str) -> str:
        """Write a temporary table to a file, so that other connections can read it; return it as SQL."""
        file = self.lake.settings.scratch / f"{self.lake.ids()}.parquet"
        self.con.execute(f"COPY {name} TO {literal(str(file))} (FORMAT parquet)")
        self._spilled.append(file)
        return f"read_parquet([{literal(str(file))}])"

    def close(self) -> None:
        """Let go of the connection and of temporary files; staged files stay."""
        self.con.close()
        for file in self._spilled:
            file.unlink(missing_ok=True)

    def discard(self) -> None:
        """Delete every staged file."""
        for files in self.staged.values():
            discard(self.lake, files)
        self.staged.clear()

    def staged_rows(self, table: Table) -> int:
        """Return how many rows are staged for `table`."""
        return sum(file.rows for file in self.staged.get(table.identifier, ()))

    def tables(self) -> tuple[Table, ...]:
        """Return the tables that have staged rows, in the order of the contracts."""
        return tuple(table for name, table in BY_IDENTIFIER.items() if name in self.staged)
