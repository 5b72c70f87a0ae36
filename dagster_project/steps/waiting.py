"""Audits of commits of events that wait for the next fold to write them down, kept on disk so that no kill loses them.

What holds: once a commit of events stands, the rows it has for `ops.audits` are in a file of this machine's scratch
folder, until a fold's commit that holds them stands. They go by batch: a fold puts them in place of any that are there,
so that it does not matter if two consumers, or one that was killed after its commit, write down the same.

What belongs here: these files. What does not: what is in them (`record`), and when to fold (`streaming`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from dagster_project.contracts import AUDITS, LEDGER
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.lake.unavailable import tells_unavailable
from dagster_project.steps.batch import Batch

_SUFFIX = ".arrow"


def keep(batch: Batch) -> None:
    """Write down what a batch has to tell, before it is committed. Raises OSError."""
    if batch.told is None:
        return
    file = _folder(batch.lake, batch.source.name) / f"{batch.batch_id}{_SUFFIX}"
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f".{file.name}.{batch.lake.ids()}")
    with pa.OSFile(str(new), "wb") as sink, pa.ipc.new_file(sink, batch.told.schema) as writer:
        writer.write_table(batch.told)
    os.replace(new, file)


def forget(lake: Lake, source: str, written: Sequence[pa.Table]) -> None:
    """Let go of what a fold has written down."""
    for batch_id in batch_ids(written):
        (_folder(lake, source) / f"{batch_id}{_SUFFIX}").unlink(missing_ok=True)


def batch_ids(tables: Sequence[pa.Table]) -> list[str]:
    """Return the batches that rows of `ops.audits` are of."""
    return [str(table["batch_id"][0]) for table in tables if table.num_rows]


@tells_unavailable
def waiting(lake: Lake, source: str) -> list[pa.Table]:
    """Return what is still to be written down of commits that stand, oldest first; and forget what is written."""
    files = {file.stem: file for file in sorted(_folder(lake, source).glob(f"[!.]*{_SUFFIX}"))}
    if not files:
        return []
    pins = lake.pins([LEDGER.identifier, AUDITS.identifier])
    committed, written = (_batches(lake, pins[table.identifier], files) for table in (LEDGER, AUDITS))
    for batch_id in written:
        files.pop(batch_id).unlink(missing_ok=True)
    return [_read(file) for batch_id, file in files.items() if batch_id in committed and file.exists()]


def _batches(lake: Lake, pin: Pin, files: dict[str, Path]) -> set[str]:
    with lake.connect() as con:
        rows = con.execute(
            f"SELECT DISTINCT batch_id FROM {relation(pin)} AS t WHERE batch_id IN (SELECT unnest(?))", [list(files)]
        ).fetchall()
    return {str(batch_id) for (batch_id,) in rows}


def _read(file: Path) -> pa.Table:
    with pa.OSFile(str(file), "rb") as opened:
        return pa.ipc.open_file(opened).read_all().cast(AUDITS.schema)


def _folder(lake: Lake, source: str) -> Path:
    return lake.settings.scratch / "audits" / source
