"""One commit over many tables: write every table's metadata, then swap all of them in one catalog transaction.

What belongs here: making staged files visible, all or none. What does not: deciding which (`pipeline.py`).

Nothing is retried here. A stale run that tried again by itself would land its rows twice; who calls looks again at
the cursors and decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

from pyiceberg.manifest import ManifestFile
from pyiceberg.table import Table as IcebergTable
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation
from pyiceberg.table.update import (
    AddSchemaUpdate,
    RemoveSnapshotsUpdate,
    SetCurrentSchemaUpdate,
    SetPropertiesUpdate,
    TableUpdate,
    update_table_metadata,
)
from pyiceberg.table.update.snapshot import _ManifestMergeManager, _OverwriteFiles

from dagster_project.contracts import Column
from dagster_project.failpoints import failpoint
from dagster_project.lake.catalog import Swap
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.schema import columns_of, iceberg_schema
from dagster_project.lake.staging import StagedFile
from dagster_project.lake.upkeep import superfluous

COMMIT: Final = "notelake.commit"
"""In the summary of a snapshot: the id of the commit that made it, the same in all tables it changed."""
_MANIFEST_BYTES = 8 * 1024 * 1024
_MANIFESTS_TO_MERGE = 10


@dataclass(frozen=True, slots=True)
class Change:
    """What a commit does to one table. `pin.table` has the columns the table shall have afterwards."""

    pin: Pin
    added: tuple[StagedFile, ...] = ()
    removed: frozenset[str] = frozenset()
    """Paths of data files that leave the table."""
    properties: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.added or self.removed or self.properties)


class _Metadata(Transaction):
    """A transaction that is never committed by itself, and that does not copy all metadata at every look."""

    _seen: tuple[TableUpdate, ...] | None = None
    _current: TableMetadata

    @property
    def table_metadata(self) -> TableMetadata:
        if self._seen is not self._updates:
            self._current = update_table_metadata(self._table.metadata, self._updates)
            self._seen = self._updates
        return self._current


class _Replace(_OverwriteFiles):
    """Adds and removes files in one snapshot, and merges small manifests so that planning stays quick."""

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        merger: _ManifestMergeManager[Any] = _ManifestMergeManager(
            target_size_bytes=_MANIFEST_BYTES,
            min_count_to_merge=_MANIFESTS_TO_MERGE,
            merge_enabled=True,
            snapshot_producer=self,
        )
        return merger.merge_manifests(manifests)


@dataclass(slots=True)
class _Prepared:
    lake: Lake
    change: Change
    summary: Mapping[str, str]

    @property
    def table(self) -> IcebergTable:
        pin = self.change.pin
        return IcebergTable(
            identifier=(pin.table.namespace, pin.table.name),
            metadata=self.lake.metadata(pin.metadata_location),
            metadata_location=pin.metadata_location,
            io=self.lake.io,
            catalog=self.lake.catalog,
        )

    def write(self) -> tuple[Swap, int | None]:
        """Write manifests and metadata beside the table, and return the new snapshot's id; nothing is visible yet."""
        table = self.table
        transaction = _Metadata(table)
        _evolve(transaction, self.change.pin.table.columns)
        self._add_snapshot(transaction)
        if self.change.properties:
            transaction._stage((SetPropertiesUpdate(updates=dict(self.change.properties)),))
        _expire(transaction)
        staged = self.lake.catalog._update_and_stage_table(
            table, table.name(), transaction._requirements, transaction._updates
        )
        self.lake.catalog._write_metadata(staged.metadata, staged.io, str(staged.metadata_location))
        swap = Swap(self.change.pin.table.identifier, self.change.pin.metadata_location, str(staged.metadata_location))
        moved = bool(self.change.added or self.change.removed)
        return swap, staged.metadata.current_snapshot_id if moved else None

    def _add_snapshot(self, transaction: Transaction) -> None:
        if not (self.change.added or self.change.removed):
            return
        producer = _Replace(
            operation=Operation.OVERWRITE if self.change.removed else Operation.APPEND,
            transaction=transaction,
            io=self.lake.io,
            commit_uuid=uuid4(),
            snapshot_properties=dict(self.summary),
        )
        for file in self.change.added:
            producer.append_data_file(file.data_file)
        for data_file in self.lake.data_files(self.change.pin.metadata_location):
            if data_file.file_path in self.change.removed:
                producer.delete_data_file(data_file)
        transaction._stage(*producer._commit())


def _evolve(transaction: Transaction, columns: Sequence[Column]) -> None:
    metadata = transaction.table_metadata
    if columns_of(metadata.schema()) == tuple(columns):
        return
    schema = iceberg_schema(tuple(columns), max(known.schema_id for known in metadata.schemas) + 1)
    transaction._stage((AddSchemaUpdate(schema_=schema), SetCurrentSchemaUpdate(schema_id=-1)))


def _expire(transaction: Transaction) -> None:
    metadata = transaction.table_metadata
    gone = superfluous({snapshot.snapshot_id: snapshot.timestamp_ms for snapshot in metadata.snapshots})
    referenced = {ref.snapshot_id for ref in metadata.refs.values()}
    if ids := sorted(gone - referenced):
        transaction._stage((RemoveSnapshotsUpdate(snapshot_ids=ids),))


def commit(
    lake: Lake, changes: Sequence[Change], *, summary: Mapping[str, str], stage: str = "commit"
) -> dict[str, int]:
    """Commit all `changes` at once and return the snapshot id of each table that got a new snapshot.

    `summary` goes into the summary of every snapshot, with an id of the commit (`COMMIT`); `stage` is the verb whose
    failpoints are passed. Raises `CommitConflict` if any of the tables is no longer at its pin, so that nothing is
    visible, and `CommitUnknown` if nobody can tell.
    """
    real = [change for change in changes if not change.is_empty]
    told = {COMMIT: uuid4().hex, **summary}
    written = [_Prepared(lake, change, told).write() for change in real]
    failpoint(f"{stage}.written")
    lake.catalog.swap([swap for swap, _ in written], stage)
    failpoint(f"{stage}.committed")
    return {swap.identifier: snapshot_id for swap, snapshot_id in written if snapshot_id is not None}
