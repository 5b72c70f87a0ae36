"""Documents to staged rows, in worker processes: who reads a batch of files also writes what they became.

What belongs here: cutting a batch into slices, and doing one. What does not: readers and columns (`shaping`), and how
processes are watched (`workers`). Rows do not travel between processes: a slice comes back as staged files, and as
what is told of each file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from dagster_project.contracts import BY_IDENTIFIER, FINGERPRINTS, NOTES, PARTS, VERSIONS
from dagster_project.lake.read import batches
from dagster_project.lake.staging import StagedFile, Stager
from dagster_project.lake.store import FileIO, Store
from dagster_project.model.identity import member_id, note_id
from dagster_project.model.moves import Identities
from dagster_project.reports import Observer
from dagster_project.settings import Settings
from dagster_project.shaping import documents
from dagster_project.shaping.fingerprints import fingerprints
from dagster_project.steps.batch import Batch
from dagster_project.steps.workers import Limits, Watch, work

_TABLES: Final = (NOTES, VERSIONS, *PARTS)
SLICE_FILES: Final = 2_500
SLICE_BYTES: Final = 64 * 1024 * 1024
"""What one worker does at a time at the most: what is done again, without the one file, when that one kills it."""
SHARED_FILES: Final = 64
"""Fewer files than this are not worth a second process."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Arrivals `after` < sequence <= `to` of a batch, with all that is needed to shape them elsewhere."""

    settings: Settings
    io: FileIO
    source: str
    files: tuple[str, ...]
    """Data files of raw that may hold them."""
    after: int
    to: int
    note_ids: Mapping[int, str]
    """The note of each arrival that is shaped; others between are left out."""
    present: documents.Present
    name: str
    """What the names of staged files begin with."""


@dataclass(frozen=True, slots=True)
class Shaped:
    """What became of a slice."""

    staged: Mapping[str, tuple[StagedFile, ...]]
    told: tuple[documents.Told, ...]


def shape_documents(batch: Batch, *, observe: Observer) -> None:
    """Stage what the files of a batch become, and fill its `replaced`, `refusals` and `inputs`."""
    settings = batch.lake.settings
    slices = _slices(batch)
    arrivals = len(batch.again) or batch.to - batch.after
    try:
        shaped = work(
            shape_slice,
            slices,
            limits=Limits(settings.file_seconds, settings.file_memory),
            processes=settings.worker_processes,
            progress=lambda done: observe(batch.source.name, "shape", done, arrivals),
        )
    except BaseException:
        _remove_leavings(batch.lake, slices, kept=())
        raise
    for part in shaped:
        for identifier, files in part.staged.items():
            batch.stage(BY_IDENTIFIER[identifier], files)
    _note(batch, [told for part in shaped for told in part.told])
    _remove_leavings(batch.lake, slices, kept={file.path for files in batch.staged.values() for file in files})


def shape_slice(slice_: Slice, left_out: Mapping[int, str], watch: Watch) -> Shaped:
    """Shape one slice and write its rows; `left_out` says which arrivals are not to be read, and why."""
    numbers = count()
    store = Store(slice_.settings, lambda: f"{slice_.name}-{len(left_out)}-{next(numbers)}", slice_.io)
    with ExitStack() as stack:
        stagers = {table.identifier: stack.enter_context(Stager(store, table, slice_.source)) for table in _TABLES}
        told: list[documents.Told] = []
        observed = batches(store, slice_.files, columns=documents.COLUMNS, after=slice_.after, to=slice_.to)
        for every in observed:
            arrivals = _of(every, slice_)
            shaped = documents.shape_documents(
                arrivals,
                source=slice_.source,
                note_ids=slice_.note_ids,
                present=slice_.present,
                member_id=member_id,
                failed=left_out,
                reading=watch.at,
            )
            for identifier, rows in shaped.tables():
                stagers[identifier].write(rows)
                if identifier == NOTES.identifier:
                    stagers[FINGERPRINTS.identifier].write(fingerprints(rows))
            told.append(shaped.report())
            watch.ahead(arrivals.num_rows)
        return Shaped({name: files for name, stager in stagers.items() if (files := stager.close())}, tuple(told))


def _of(arrivals: pa.RecordBatch, slice_: Slice) -> pa.RecordBatch:
    """Return the arrivals that the slice is of: all of them, unless some come again."""
    if len(slice_.note_ids) == slice_.to - slice_.after:
        return arrivals
    return arrivals.filter(pc.is_in(arrivals.column("sequence"), pa.array(slice_.note_ids, pa.int64())))


def _slices(batch: Batch) -> list[Slice]:
    arrived = batch.con.execute(
        f"SELECT sequence, path, coalesce(size, 0) FROM {batch.raw} AS a WHERE {batch.arrivals} ORDER BY sequence"
    ).fetchall()
    note_ids = _note_ids(batch, {sequence: path for sequence, path, _ in arrived})
    present = _present(batch)
    raw = batch.pins[f"raw.{batch.source.name}"]
    slices, after = [], arrived[0][0] - 1 if arrived else batch.after
    for to in _ends([(sequence, size) for sequence, _, size in arrived], batch.lake.settings.worker_processes):
        ids = {sequence: note_ids[sequence] for sequence in range(after + 1, to + 1) if sequence in note_ids}
        slices.append(
            Slice(
                batch.lake.settings,
                batch.lake.io,
                batch.source.name,
                raw.files,
                after,
                to,
                ids,
                _present_of(present, ids.values()),
                batch.lake.ids(),
            )
        )
        after = to
    return slices


def _ends(arrived: Sequence[tuple[int, int]], processes: int) -> Iterator[int]:
    """Yield the last arrival of each slice, given all with their bytes; the same for every run on the same machine."""
    share = -(-len(arrived) // processes)
    most = min(SLICE_FILES, max(share, SHARED_FILES))
    files = held = 0
    for sequence, size in arrived:
        if files and (files >= most or held + size > SLICE_BYTES):
            yield sequence - 1
            files = held = 0
        files, held = files + 1, held + size
    if arrived:
        yield arrived[-1][0]


@dataclass(frozen=True, slots=True)
class _Observation:
    op: str
    path: str
    moved_from: str | None


def _note_ids(batch: Batch, arrived: Mapping[int, str]) -> dict[int, str]:
    """Return the note of each arrival, given the paths; only those that have to do with a move need their history."""
    name = batch.source.name
    moves = f"FROM {batch.raw} AS m WHERE op = 'move'"
    moved = f"SELECT path {moves} UNION SELECT moved_from {moves}"
    history = batch.con.execute(
        f"SELECT sequence, op, path, moved_from FROM {batch.raw} AS h "
        f"WHERE sequence <= {batch.to} AND path IN ({moved}) ORDER BY sequence"
    ).fetchall()
    who = Identities(name)
    through_moves = {sequence: who.take(_Observation(*seen)) for sequence, *seen in history}
    return {sequence: through_moves.get(sequence) or note_id(name, path) for sequence, path in arrived.items()}


def _present(batch: Batch) -> documents.Present:
    current = batch.current(NOTES)
    if current is None:
        return documents.Present({}, {})
    rows = batch.con.execute(f"SELECT note_id, content_sha256, file_id, path FROM {current} AS n").fetchall()
    members: dict[str, dict[str, str]] = {}
    for id_, _, file_id, path in rows:
        if file_id is not None:
            members.setdefault(file_id, {})[id_] = path
    return documents.Present({id_: sha256 for id_, sha256, _, _ in rows}, members)


def _present_of(present: documents.Present, note_ids: Iterable[str]) -> documents.Present:
    """Return what a slice needs to know of the notes that are there: its own, and those within its files."""
    wanted = set(note_ids)
    members = {file_id: within for file_id, within in present.members.items() if file_id in wanted}
    wanted.update(id_ for within in members.values() for id_ in within)
    return documents.Present({id_: present.sha256[id_] for id_ in wanted if id_ in present.sha256}, members)


def _note(batch: Batch, told: Sequence[documents.Told]) -> None:
    """Fill the batch's own tables, in one statement each: a statement costs as much as thousands of rows."""
    for name in ("replaced", "refusals", "inputs"):
        rows = pa.concat_tables([getattr(report, name) for report in told])
        if rows.num_rows:
            batch.con.register("arriving", rows)
            batch.con.execute(f"INSERT INTO {name} BY NAME SELECT * FROM arriving")
            batch.con.unregister("arriving")


def _remove_leavings(store: Store, slices: Sequence[Slice], *, kept: Collection[str]) -> None:
    """Delete what workers that were killed had begun to write. In an object store upkeep finds it."""
    if store.settings.is_remote:
        return
    for slice_ in slices:
        for table in _TABLES:
            for file in (Path(store.location(table)) / "data" / slice_.source).glob(f"{slice_.name}-*"):
                if str(file) not in kept:
                    file.unlink(missing_ok=True)
