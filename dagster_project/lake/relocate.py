"""A lake that was moved or copied to another folder: all metadata that names paths is written anew for the new place.

Iceberg's paths are absolute. Table metadata, manifest lists and manifests of every kept snapshot are written beside the
old ones, under new names; then all pointers of the catalog are swapped in one SQL transaction. So a kill at any instant
leaves the lake as it was, to be relocated again, or done. Snapshot ids, sequence numbers, statistics, properties and
with them all cursors stay as they are; data files are looked for and not touched. What the old metadata files take up
is given back by `upkeep.clean`.

What belongs here: paths. What does not: noticing that a lake was moved (`lake.py`), publishing the view file anew.

Avro files are copied with fastavro, which keeps every attribute of their schemas and every field it does not know.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast
from uuid import NAMESPACE_OID, uuid5

import fastavro
import fsspec
from pyiceberg.io import load_file_io
from pyiceberg.serializers import FromInputFile, ToOutputFile
from pyiceberg.table.metadata import TableMetadata, TableMetadataUtil

from dagster_project.contracts import FORMAT, Clock, Ids
from dagster_project.durable import sync
from dagster_project.errors import LakeMoved, LakeUnsupported
from dagster_project.failpoints import failpoint
from dagster_project.lake.catalog import SQLITE_FILE, Swap, open_catalog
from dagster_project.lake.lake import FORMAT_PROPERTY, Lake
from dagster_project.settings import Settings

_STAGE: Final = "commit"
"""A relocation passes the failpoints of a commit: it is one, over all tables, that changes no row."""
_DELETED: Final = 2
"""Status of a manifest's entry that says a file has left the table: such a file may be gone."""
_PATH_PROPERTIES: Final = ("write.data.path", "write.metadata.path", "write.object-storage.path")
_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Relocated:
    """What a relocation did; all counts are 0 if every table already lay where it says."""

    moved_from: str | None = None
    """Where the tables said they lay."""
    tables: int = 0
    snapshots: int = 0
    data_files: int = 0
    """Data files of kept snapshots, found in place with the right size."""
    files: int = 0
    """Metadata files written anew."""
    bytes: int = 0
    """Their size in bytes."""


def relocate(settings: Settings, *, clock: Clock, ids: Ids) -> Relocated:
    """Make the lake at `settings.lake` say that it lies there; its history stays readable. Doing it twice does nothing.

    No run may be under way. The view file still shows the old place: serve afterwards. Raises `LakeMoved` if files that
    kept snapshots need are not here, `LakeUnsupported` if there is no lake here or one this version cannot write, and
    `CommitConflict` if another run changed a table meanwhile; the lake is then as it was.
    """
    lake = _opened(settings, clock, ids)
    elsewhere = {
        name: location for name, location in lake.catalog.locations().items() if not _is_here(lake, name, location)
    }
    if not elsewhere:
        return Relocated()
    roots = {_root(name, location) for name, location in elsewhere.items()}
    mover = _Mover(lake, tuple(sorted(roots, key=len, reverse=True)))
    try:
        swaps = [mover.table(name, location) for name, location in sorted(elsewhere.items())]
        mover.refuse_missing()
        failpoint(f"{_STAGE}.written")
        lake.catalog.swap(swaps, _STAGE)
    except Exception:
        mover.discard()
        raise
    failpoint(f"{_STAGE}.committed")
    return mover.told(len(swaps))


def _opened(settings: Settings, clock: Clock, ids: Ids) -> Lake:
    if not settings.is_remote and not Path(settings.lake).is_dir():
        raise LakeUnsupported(f"There is no folder {settings.lake}. Name the folder the lake was moved to with --lake.")
    catalog = open_catalog(settings)
    lake = Lake(settings, ids, load_file_io(properties=catalog.properties, location=settings.lake), catalog, clock)
    if not catalog.locations():
        raise LakeUnsupported(
            f"The catalog of {settings.lake} knows no tables: there is no lake to relocate. If {SQLITE_FILE} was left "
            "behind where the lake lay, copy it as well."
        )
    return lake


def _is_here(lake: Lake, identifier: str, location: str) -> bool:
    return location.startswith(f"{lake.settings.lake}/{identifier.replace('.', '/', 1)}/metadata/")


def _root(identifier: str, location: str) -> str:
    """Return the lake that a metadata location names.

    >>> _root("notes.tags", "/old/lake/notes/tags/metadata/00000-x.metadata.json")
    '/old/lake'
    """
    folder = f"/{identifier.replace('.', '/', 1)}/metadata/"
    root, found, _ = location.rpartition(folder)
    if not found:
        raise LakeUnsupported(f"{identifier} lies at {location}, where notelake puts no table. Nothing was changed.")
    return root


@dataclass(slots=True)
class _Mover:
    """Writes metadata anew; `here` maps what lies at the new place to its size in bytes."""

    lake: Lake
    roots: tuple[str, ...]
    here: dict[str, int] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)
    _copies: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Manifest lists and manifests by the path they had: path and size of their copies, one for all snapshots."""
    _written: dict[str, int] = field(default_factory=dict)
    _data: set[str] = field(default_factory=set)
    _snapshots: int = 0

    def path(self, old: str) -> str:
        """Return where a file lies now; a path outside the lake stays as it is."""
        for root in self.roots:
            if old == root or old.startswith(f"{root}/"):
                return f"{self.lake.settings.lake}{old.removeprefix(root)}"
        return old

    def table(self, identifier: str, location: str) -> Swap:
        """Write all metadata of a table anew and return the step to it."""
        here = self.path(location)
        self.here.update(_listing(self.lake, here.rsplit("/metadata/", 1)[0]))
        metadata = self._read(here, location)
        if int(metadata.properties.get(FORMAT_PROPERTY, FORMAT)) > FORMAT:
            raise LakeUnsupported(
                f"{identifier} was written by a newer notelake. Install that one, and relocate with it."
            )
        self._snapshots += len(metadata.snapshots)
        return Swap(identifier, location, self._metadata(metadata, here, with_log=True))

    def _read(self, here: str, named: str) -> TableMetadata:
        try:
            return FromInputFile.table_metadata(self.lake.io.new_input(here))
        except FileNotFoundError:
            raise LakeMoved(
                f"The catalog names {named}, but there is no {here}: not all of the lake was moved or copied. "
                "Nothing was changed. Copy the whole folder, with no run under way."
            ) from None

    def _metadata(self, metadata: TableMetadata, here: str, *, with_log: bool) -> str:
        kept = metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
        kept["location"] = self.path(kept["location"])
        for name in _PATH_PROPERTIES:
            if name in kept["properties"]:
                kept["properties"][name] = self.path(kept["properties"][name])
        for snapshot in kept["snapshots"]:
            self._snapshot(snapshot, needed=with_log)
        for statistics in (*kept.get("statistics", ()), *kept.get("partition-statistics", ())):
            statistics["statistics-path"] = self.path(statistics["statistics-path"])
        kept["metadata-log"] = list(self._log(kept.get("metadata-log", ()), with_log=with_log))
        target = self._new(here)
        ToOutputFile.table_metadata(TableMetadataUtil.parse_obj(kept), self.lake.io.new_output(target))
        self._settle(target)
        return target

    def _snapshot(self, snapshot: dict[str, Any], *, needed: bool) -> None:
        """Point a snapshot to its copied manifest list; one that only old metadata knows may have lost its files."""
        old = snapshot["manifest-list"]
        if not needed and old not in self._copies:
            snapshot["manifest-list"] = self.path(old)
            return
        snapshot["manifest-list"], _ = self._manifest_list(old)

    def _log(self, entries: Iterable[dict[str, Any]], *, with_log: bool) -> Iterable[dict[str, Any]]:
        """Copy what the table's metadata was before, as far as it is still there; of their own logs only the paths."""
        for entry in entries:
            here = self.path(entry["metadata-file"])
            if not with_log:
                yield {**entry, "metadata-file": here}
            elif here in self.here:
                yield {**entry, "metadata-file": self._metadata(self._read(here, here), here, with_log=False)}

    def _manifest_list(self, old: str) -> tuple[str, int]:
        if old not in self._copies and (avro := self._avro(old)):
            for manifest in avro.records:
                if manifest.get("content", 0) != 0:
                    raise LakeUnsupported(
                        f"{old} has delete files, written by another engine: their paths lie inside data. Nothing was "
                        "changed. Put the lake back, rewrite the table there, and move it then."
                    )
                copy, size = self._manifest(manifest["manifest_path"])
                manifest.update(manifest_path=copy, manifest_length=size)
            self._write(old, avro)
        return self._copies.get(old, (self.path(old), 0))

    def _manifest(self, old: str) -> tuple[str, int]:
        if old not in self._copies and (avro := self._avro(old)):
            for entry in avro.records:
                file = entry["data_file"]
                file["file_path"] = self.path(file["file_path"])
                if entry["status"] != _DELETED:
                    self._look_for(file["file_path"], file["file_size_in_bytes"])
            self._write(old, avro)
        return self._copies.get(old, (self.path(old), 0))

    def _look_for(self, path: str, size: int) -> None:
        if self.here.get(path) != size and path not in self._data:
            self.missing.add(path)
        self._data.add(path)

    def _avro(self, old: str) -> _Avro | None:
        path = self.path(old)
        if path not in self.here:
            self.missing.add(path)
            return None
        with self.lake.io.new_input(path).open() as stream:
            return _Avro.read(stream.read())

    def _write(self, old: str, avro: _Avro) -> None:
        content = avro.to_bytes()
        target = f"{self.path(old).rsplit('/', 1)[0]}/{self.lake.ids()}.avro"
        with self.lake.io.new_output(target).create() as stream:
            stream.write(content)
        self._settle(target)
        self._copies[old] = (target, len(content))

    def _new(self, here: str) -> str:
        """Return a metadata file's new path: its version and a UUID, without which pyiceberg would count from 0."""
        folder, name = here.rsplit("/", 1)
        version = name.split("-", 1)[0]
        return f"{folder}/{version}-{uuid5(NAMESPACE_OID, self.lake.ids())}.metadata.json"

    def _settle(self, path: str) -> None:
        """Count a written file, and have it on disk before the catalog can name it."""
        self._written[path] = len(self.lake.io.new_input(path))
        if not self.lake.settings.is_remote:
            for name in (path, os.path.dirname(path)):
                sync(name)

    def refuse_missing(self) -> None:
        """Raise `LakeMoved` if a file that was named is not here, or has another size."""
        if self.missing:
            shown = ", ".join(sorted(self.missing)[:_TOLD])
            raise LakeMoved(
                f"{len(self.missing)} files that the lake's tables need are not at {self.lake.settings.lake}, or have "
                f"another size, among them {shown}. Nothing was changed. Copy the whole folder again, with no run on."
            )

    def discard(self) -> None:
        """Delete what was written."""
        for path in self._written:
            self.lake.io.delete(path)

    def told(self, tables: int) -> Relocated:
        """Return the account."""
        return Relocated(
            self.roots[0], tables, self._snapshots, len(self._data), len(self._written), sum(self._written.values())
        )


def _listing(lake: Lake, folder: str) -> dict[str, int]:
    """Return the size in bytes of every file below a folder or prefix; nothing if there is none."""
    scheme = lake.settings.lake.split("://", 1)[0] if lake.settings.is_remote else "file"
    prefix = f"{scheme}://" if lake.settings.is_remote else ""
    filesystem = fsspec.filesystem(scheme)
    filesystem.invalidate_cache()
    return {f"{prefix}{path}": int(info["size"] or 0) for path, info in filesystem.find(folder, detail=True).items()}


@dataclass(slots=True)
class _Avro:
    """An Avro file in memory: its schema with all attributes, its own metadata, its records."""

    schema: dict[str, Any]
    metadata: dict[str, str]
    records: list[dict[str, Any]]

    @classmethod
    def read(cls, content: bytes) -> _Avro:
        reader = fastavro.reader(io.BytesIO(content))
        metadata = {name: value for name, value in reader.metadata.items() if not name.startswith("avro.")}
        return cls(json.loads(reader.metadata["avro.schema"]), metadata, cast("list[dict[str, Any]]", list(reader)))

    def to_bytes(self) -> bytes:
        out = io.BytesIO()
        fastavro.writer(out, self.schema, self.records, codec="deflate", metadata=self.metadata)
        return out.getvalue()
