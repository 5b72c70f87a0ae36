"""A lake that was opened: its pins, its cursors, its connections, and where new files go.

What belongs here: reading the state of the lake at one moment. What does not: changing it (`commit.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import duckdb
from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError
from pyiceberg.io import load_file_io
from pyiceberg.manifest import DataFile, ManifestEntry, ManifestFile
from pyiceberg.serializers import FromInputFile
from pyiceberg.table.metadata import TableMetadata

from dagster_project.contracts import BY_IDENTIFIER, FORMAT, SHARED, Clock, Column, Current, Ids, Table
from dagster_project.errors import LakeMoved, LakeUnsupported
from dagster_project.lake.catalog import Catalog, open_catalog
from dagster_project.lake.manifests import read_schemas_once
from dagster_project.lake.pins import Pin
from dagster_project.lake.schema import as_created, columns_of, iceberg_schema, partition_spec, sort_order
from dagster_project.lake.store import Store
from dagster_project.lake.unavailable import tells_unavailable
from dagster_project.settings import Settings
from dagster_project.sql_words import STREAMED_AHEAD

FORMAT_PROPERTY: Final = "notelake.format"
CURRENT_PROPERTY: Final = "notelake.current"
"""What of the arrivals of a table source is current, as `contracts.Current` writes it."""
_MANIFESTS: Final = 1_000
"""So many manifests are kept in memory."""
_TABLE_PROPERTIES: Final = {
    FORMAT_PROPERTY: str(FORMAT),
    "format-version": "2",
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "10",
    "write.metadata.previous-versions-max": "20",
    "write.parquet.compression-codec": "zstd",
}

read_schemas_once()


@dataclass(slots=True)
class Lake(Store):
    """A lake. One moment of it is a mapping of pins; the catalog alone says what is current."""

    catalog: Catalog
    clock: Clock
    _metadata: dict[str, TableMetadata] = field(default_factory=dict)
    _files: dict[str, tuple[DataFile, ...]] = field(default_factory=dict)
    _manifests: dict[str, list[ManifestEntry]] = field(default_factory=dict)
    _database: duckdb.DuckDBPyConnection | None = None

    def pins(self, identifiers: Iterable[str] | None = None) -> dict[str, Pin]:
        """Return the pins of all tables, or of those named that exist, as one SELECT on the catalog sees them."""
        locations = self.catalog.locations()
        wanted = locations if identifiers is None else [name for name in identifiers if name in locations]
        return {name: self._pin(name, locations[name]) for name in sorted(wanted)}

    def _pin(self, identifier: str, location: str) -> Pin:
        metadata = self.metadata(location)
        files = self.data_files(location)
        return Pin(
            table=_contract(identifier, metadata),
            metadata_location=location,
            snapshot_id=metadata.current_snapshot_id,
            files=tuple(file.file_path for file in files),
            rows=sum(file.record_count for file in files),
            bytes=sum(file.file_size_in_bytes for file in files),
        )

    def metadata(self, location: str) -> TableMetadata:
        """Return the table metadata written at `location`; such a file never changes, so it is read once."""
        if location not in self._metadata:
            self._metadata[location] = FromInputFile.table_metadata(self.io.new_input(location))
        return self._metadata[location]

    def data_files(self, location: str) -> tuple[DataFile, ...]:
        """Return the data files of the current snapshot of the metadata at `location`, oldest first.

        Raises `LakeUnsupported` if somebody wrote delete files, which plain Parquet readers would not see.
        """
        if location not in self._files:
            snapshot_id = self.metadata(location).current_snapshot_id
            self._files[location] = () if snapshot_id is None else self.files_at(location, snapshot_id)
        return self._files[location]

    def files_at(self, location: str, snapshot_id: int) -> tuple[DataFile, ...]:
        """Return the data files of a snapshot that the metadata at `location` keeps, oldest first, as `data_files`."""
        snapshot = self.metadata(location).snapshot_by_id(snapshot_id)
        if snapshot is None:
            raise KeyError(snapshot_id)
        entries = [entry for manifest in snapshot.manifests(self.io) for entry in self._entries(manifest)]
        if any(entry.data_file.content != 0 for entry in entries):
            raise LakeUnsupported(f"{location} has delete files, written by another engine. Rewrite the table there.")
        entries.sort(key=lambda entry: (entry.sequence_number or 0, entry.data_file.file_path))
        return tuple(entry.data_file for entry in entries)

    def _entries(self, manifest: ManifestFile) -> list[ManifestEntry]:
        """Return the live entries of a manifest, which never changes; most are in the next snapshot too."""
        if manifest.manifest_path not in self._manifests:
            if len(self._manifests) >= _MANIFESTS:
                self._manifests.clear()
            self._manifests[manifest.manifest_path] = manifest.fetch_manifest_entry(self.io, discard_deleted=True)
        return self._manifests[manifest.manifest_path]

    def source_files(self, pin: Pin, source: str) -> tuple[DataFile, ...]:
        """Return the data files of `pin` that hold rows of `source`; all of them if the table is one source's own."""
        files = self.data_files(pin.metadata_location)
        return files if not pin.table.partition else tuple(file for file in files if file.partition[0] == source)

    @tells_unavailable
    def forget_past(self) -> None:
        """Let go of what was read of states that are current no more, so that a lake can be kept open for weeks."""
        current = set(self.catalog.locations().values())
        for kept in (self._metadata, self._files):
            for location in kept.keys() - current:
                del kept[location]

    def properties(self, pin: Pin) -> Mapping[str, str]:
        """Return the table properties at the moment of `pin`: cursors are among them."""
        return self.metadata(pin.metadata_location).properties

    def ensure(self, tables: Iterable[Table]) -> None:
        """Create those of `tables` that do not exist yet, empty. Safe to run twice at once."""
        present = self.catalog.locations()
        for table in tables:
            if table.identifier not in present:
                self._create(table)

    def _create(self, table: Table) -> None:
        """Create a table; columns whose ids Iceberg would not give at its creation are added to it, and get theirs so.

        If another run looks in between, or this one dies there, the table lacks them until the next commit adds them.
        """
        self.catalog.make_namespace(table.namespace)
        first = as_created(table.columns)
        with suppress(TableAlreadyExistsError, CommitFailedException):
            created = self.catalog.create_table(
                table.identifier,
                schema=iceberg_schema(first),
                location=self.location(table),
                partition_spec=partition_spec(table),
                sort_order=sort_order(table),
                properties={**_TABLE_PROPERTIES, "comment": table.row},
            )
            if later := table.columns[len(first) :]:
                with created.update_schema() as update:
                    for field_ in iceberg_schema(later).fields:
                        update.add_column(field_.name, field_.field_type, doc=field_.doc)

    def connect(self) -> duckdb.DuckDBPyConnection:
        """Return a new DuckDB connection in memory: in UTC, bounded, spilling to the scratch folder.

        A result that is read in batches is made by all threads; with DuckDB's own buffer of 1 MB it is made by one.
        """
        con = self._new_database() if self._database is None else self._database.cursor()
        con.execute(f"SET TimeZone = 'UTC'; SET streaming_buffer_size = '{STREAMED_AHEAD}'")
        if self._database is None:  # a file system is a database's, and is registered with it once
            self.prepare(con)
        return con

    def beside(self) -> Lake:
        """Return the same lake for another thread: what was read of it is kept apart, connections share a database."""
        return replace(self, _metadata={}, _files={}, _manifests={})

    def keep_database(self) -> None:
        """Let all connections from now on share one database: for one thread that needs them every second."""
        if self._database is None:
            database = self._new_database()
            self.prepare(database)
            self._database = database

    def _new_database(self) -> duckdb.DuckDBPyConnection:
        self.settings.scratch.mkdir(parents=True, exist_ok=True)
        return duckdb.connect(":memory:", config=_config(self.settings))

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Give a connection what it needs to see the data files: for an `s3://` lake a file system, locally nothing."""
        if self.settings.is_remote:
            con.register_filesystem(self._remote())

    def forget(self) -> None:
        """Drop what was cached of the lake's metadata."""
        self._metadata.clear()
        self._files.clear()
        self._manifests.clear()


def _config(settings: Settings) -> dict[str, str | bool | int | float | list[str]]:
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": settings.memory_limit,
        "temp_directory": str(settings.scratch / "spill"),
        "preserve_insertion_order": "true",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return {**config, "threads": settings.threads} if settings.threads else config


def _contract(identifier: str, metadata: TableMetadata) -> Table:
    """Return the contract with the columns the table has now (the table of a table source has its own).

    A shared table that an older notelake made has the contract's later columns too: files without them read as null,
    and the next commit adds them.
    """
    columns = columns_of(metadata.schema())
    if shared := BY_IDENTIFIER.get(identifier):
        return shared if _ids(columns) <= _ids(shared.columns) else replace(shared, columns=columns)
    namespace, name = identifier.split(".", 1)
    key = _raw_key(tuple(column.name for column in columns))
    told = metadata.properties.get(CURRENT_PROPERTY)
    current = Current.from_json(told) if told else None
    comment = metadata.properties.get("comment", "")
    return Table(namespace, name, comment, columns, key, sort=("sequence",), current=current)


def _ids(columns: Iterable[Column]) -> set[tuple[Any, ...]]:
    return {(column.field_id, column.name, str(column.type), column.nested) for column in columns}


@lru_cache(maxsize=256)
def _raw_key(names: tuple[str, ...]) -> tuple[str, ...]:
    return ("stream", "shard", "shard_sequence") if "shard_sequence" in names else ("sequence",)


@tells_unavailable
def open_lake(settings: Settings, *, clock: Clock, ids: Ids, create: bool = True) -> Lake:
    """Open the lake, and with `create` make its shared tables if they are missing.

    Raises `LakeMoved` if its tables say they lie elsewhere, `LakeUnsupported` if a newer notelake wrote it or if it
    does not exist and `create` is false, `LakeUnavailable` if its place can't be read or written now.
    """
    if not create and not settings.is_remote and not Path(settings.lake).is_dir():
        raise LakeUnsupported(f"There is no lake at {settings.lake}. `notelake run` or `notelake ingest` makes one.")
    catalog = open_catalog(settings)
    lake = Lake(settings, ids, load_file_io(properties=catalog.properties, location=settings.lake), catalog, clock)
    _refuse_moved(lake)
    if create:
        lake.ensure(SHARED)
    _refuse_newer(lake)
    return lake


def _refuse_moved(lake: Lake) -> None:
    for identifier, location in lake.catalog.locations().items():
        if not location.startswith(f"{lake.settings.lake}/{identifier.replace('.', '/', 1)}/metadata/"):
            raise LakeMoved(
                f"This lake lies at {lake.settings.lake}, but {identifier} says {location.rsplit('/', 4)[0]}. If it "
                "was moved or copied, `notelake relocate` writes its metadata anew; if not, check the settings of the "
                "catalog."
            )


def _refuse_newer(lake: Lake) -> None:
    notes = lake.pins(["notes.notes"]).get("notes.notes")
    written = int(lake.properties(notes).get(FORMAT_PROPERTY, FORMAT)) if notes else FORMAT
    if written > FORMAT:
        raise LakeUnsupported(
            f"This lake has format {written}; this notelake writes format {FORMAT}. Install a newer one."
        )
