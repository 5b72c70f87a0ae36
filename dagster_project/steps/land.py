"""land: see what changed at the source and append it to `raw.<source>`, with the source cursor in the same commit.

The commit holds only if raw is still as it was when the source was compared with it; who loses a race looks again.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, assert_never

import duckdb
import pyarrow as pa

from dagster_project.contracts import LEDGER, Column, Current, Table, raw_table
from dagster_project.errors import CommitConflict
from dagster_project.failpoints import failpoint
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import CURRENT_PROPERTY, Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation
from dagster_project.lake.replace import without_keys
from dagster_project.lake.staging import StagedFile, Stager, discard
from dagster_project.lake.unavailable import tells_unavailable
from dagster_project.landing import documents, streams, tables
from dagster_project.landing.databases import open_database
from dagster_project.landing.departed import key_columns
from dagster_project.landing.standing import GONE, read_whole
from dagster_project.landing.table_columns import new_fields
from dagster_project.reports import Landed, Observer
from dagster_project.settings import Settings
from dagster_project.shaping import media_type
from dagster_project.shaping.events import SAID
from dagster_project.sources import DocumentSource, Source, StreamSource, TableSource
from dagster_project.steps import workers
from dagster_project.steps.arrived import Arrived
from dagster_project.steps.cursors import (
    COLUMNS_SINCE,
    SOURCE_CURSOR,
    SourceCursor,
    columns_since,
    paused_since,
    source_cursor,
)
from dagster_project.steps.pending import refuse_other_kind
from dagster_project.steps.tidy import Tidy
from dagster_project.views.children import ALL, not_to_be_had

ATTEMPTS: Final = 8


@dataclass(slots=True)
class Look:
    """What one look at a source found, ready to be written."""

    unchanged: Callable[[], int]
    """How many units are as they were; asked when `rows` have been taken."""
    rows: Iterator[pa.RecordBatch | pa.Table]
    """The arrivals; taken once. `positions` and `problems` are complete when they have been."""
    table: Table
    total: int | None = None
    """Arrivals to come; None if not known, 0 if nothing is to be landed."""
    positions: dict[str, Any] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@tells_unavailable
def land(
    lake: Lake,
    source: Source,
    *,
    observe: Observer,
    allow_gone: bool = False,
    reread: bool = False,
    arriving: Callable[[], object] = lambda: None,
    most: int | None = None,
    keep: Arrived | None = None,
    tidy: Tidy | None = None,
) -> Landed:
    """Land what is new at `source`; with `reread` also its files that did not come through whole last time.

    Of a stream about `most` events are landed, if that is given: whole chunks, until they are that many. Their rows
    are held in `keep` too. With `tidy` small files are made into larger ones beside the landings, not by them.

    `arriving` is called as soon as it is known that something arrives, perhaps several times: what comes after landing
    can be prepared beside it.

    A paused source is not looked at, and a notice says so.

    Raises `SourceUnavailable`, `TooManyGone`, `LakeUnavailable`, or `CommitConflict` after many races.
    """
    contract = raw_table(source.name, source.kind)
    lake.ensure([contract])
    again = not_whole(lake, source.name) if reread else frozenset()
    for attempt in range(1, ATTEMPTS + 1):
        pin = lake.pins([contract.identifier])[contract.identifier]
        refuse_other_kind(pin, source)
        if since := paused_since(lake, pin):
            told = (
                f"Paused since {since}, so it was skipped. `notelake bookmark resume {source.name}` takes it up again."
            )
            return Landed(source.name, source.kind, notices=(told,), is_paused=True)
        try:
            return _land_once(
                lake,
                source,
                pin,
                observe=observe,
                allow_gone=allow_gone,
                again=again,
                arriving=arriving,
                most=most,
                keep=keep,
                tidy=tidy,
            )
        except CommitConflict:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def not_whole(lake: Lake, source: str) -> frozenset[str]:
    """Return the inputs of `source` that were told last as partial, quarantined or failed."""
    pins = lake.pins([LEDGER.identifier])
    if not pins:
        return frozenset()
    query = (
        f"SELECT path FROM {relation(pins[LEDGER.identifier])} AS l WHERE source = ? "
        "GROUP BY path HAVING max_by(status, sequence) IN ('partial', 'quarantined', 'failed')"
    )
    with lake.connect() as con:
        return frozenset(path for (path,) in con.execute(query, [source]).fetchall())


def _land_once(
    lake: Lake,
    source: Source,
    pin: Pin,
    *,
    observe: Observer,
    allow_gone: bool,
    again: frozenset[str],
    arriving: Callable[[], object],
    most: int | None,
    keep: Arrived | None,
    tidy: Tidy | None,
) -> Landed:
    cursor = source_cursor(lake, pin)
    if pin.snapshot_id is None:
        arriving()  # a source that is new has something
    with lake.connect() as con, ExitStack() as opened:
        look = _look(_Context(lake, con, pin, cursor, lake.clock(), allow_gone, again, opened, most, keep), source)
        failpoint("land.scanned")
        # What is consumed in small landings is to lie in few files, and there is other work for the second core.
        threads = 1 if source.kind == "documents" or keep is not None else 2
        added = () if look.total == 0 else _write(lake, source, look, observe, arriving, threads=threads)
        landed = Landed(
            source.name,
            source.kind,
            unchanged=look.unchanged(),
            last_sequence=cursor.last_sequence,
            notices=tuple(look.notices),
            problems=tuple(look.problems),
        )
        failpoint("land.staged")
        shown, notices = _shown(source, look.table, pin)
        landed = replace(landed, notices=(*landed.notices, *notices))
        if not added:
            if shown:
                commit(lake, [Change(pin, properties=shown)], summary={}, stage="land")
            return landed
        smaller = tidy(pin) if tidy else without_keys(lake, con, pin, source=source.name, key="sequence", keys=None)
    arrivals = sum(file.rows for file in added)
    text = SourceCursor(cursor.last_sequence + arrivals, look.positions).to_json()
    change = Change(
        replace(pin, table=look.table),
        added=(*added, *smaller.added),
        removed=smaller.removed,
        properties={SOURCE_CURSOR: text, **shown, **_came(lake, pin, look.table, cursor.last_sequence + 1)},
    )
    try:
        snapshots = commit(lake, [change], summary={SOURCE_CURSOR: text, "notelake.source": source.name}, stage="land")
    except CommitConflict:
        discard(lake, change.added)
        raise
    return replace(
        landed,
        arrivals=arrivals,
        bytes=sum(file.bytes for file in added),
        files=len(added),
        last_sequence=cursor.last_sequence + arrivals,
        snapshot_id=snapshots.get(pin.table.identifier),
    )


def _shown(source: Source, table: Table, pin: Pin) -> tuple[dict[str, str], list[str]]:
    """Return the property that says what of a table source is current, if it does not say so already, and notices."""
    own = table.columns[len(raw_table(source.name, source.kind).columns) :]
    if not isinstance(source, TableSource) or not own:
        return {}, []
    key = key_columns(source, own) if source.mode in ("merge", "history") or source.child_tables else ()
    current = Current(source.mode, key, _children(source, own))
    missing = not_to_be_had(replace(table, current=current))
    notices = [f"There is no child table of {path}: it {why}. See `child_tables`" for path, why in missing.items()]
    is_told = current == (pin.table.current or Current())
    return {} if is_told else {CURRENT_PROPERTY: current.to_json()}, notices


def _children(source: TableSource, own: Sequence[Column]) -> tuple[str, ...]:
    """Return the paths of the child tables that are asked for, in the names of columns."""
    if isinstance(source.child_tables, bool):
        return (ALL,) if source.child_tables else ()
    headers = {column.doc: column.name for column in reversed(own)} | {column.name: column.name for column in own}
    parts = ((path, *path.partition(".")) for path in source.child_tables)
    return tuple(headers.get(path) or f"{headers.get(first, first)}{dot}{rest}" for path, first, dot, rest in parts)


def _came(lake: Lake, pin: Pin, table: Table, sequence: int) -> dict[str, str]:
    """Return the property that tells of columns which come with the arrival `sequence`, if there are any."""
    present = {column.name: column.type for column in pin.table.columns}
    new = {
        name: sequence
        for column in table.columns
        for name in (
            [f"{column.name}.{path}" for path in new_fields(present[column.name], column.type)]
            if column.name in present
            else [column.name]
        )
    }
    if not new or pin.snapshot_id is None:
        return {}
    return {COLUMNS_SINCE: json.dumps(columns_since(lake, pin) | new, sort_keys=True)}


def _write(
    lake: Lake, source: Source, look: Look, observe: Observer, arriving: Callable[[], object], *, threads: int
) -> tuple[StagedFile, ...]:
    if source.kind == "documents":
        workers.warm_up()  # shaping comes next, and its processes take a while to import what they need
    while True:
        with Stager(lake, look.table, source.name, threads=threads) as stager:
            try:
                arrivals = 0
                for rows in look.rows:
                    arriving()
                    stager.write(rows)
                    arrivals += rows.num_rows
                    observe(source.name, "land", arrivals, look.total)
                return stager.close()
            except tables.Retyped as again:
                stager.abort()
                look.table, look.rows = again.landing.table, again.landing.batches()


@dataclass(frozen=True, slots=True)
class _Context:
    lake: Lake
    con: duckdb.DuckDBPyConnection
    pin: Pin
    cursor: SourceCursor
    now: datetime
    allow_gone: bool
    again: frozenset[str]
    """Files to land although they are as they were."""
    opened: ExitStack
    """What is to be closed once all is read."""
    most: int | None = None
    """How many events of a stream to take; None for all."""
    keep: Arrived | None = None
    """Holds the rows of a stream that are taken."""

    @property
    def next_sequence(self) -> int:
        return self.cursor.last_sequence + 1


def _look(context: _Context, source: Source) -> Look:
    match source:
        case DocumentSource():
            return _look_at_documents(context, source)
        case TableSource():
            return _look_at_table(context, source)
        case StreamSource():
            return _look_at_stream(context, source)
    assert_never(source)


def _look_at_documents(context: _Context, source: DocumentSource) -> Look:
    seen = scan_documents(context.lake.settings, context.con, context.pin, source, again=context.again)
    if not context.allow_gone and (refused := documents.refusal(source, seen.scan)):
        raise refused

    def rows() -> Iterator[pa.RecordBatch]:
        yield from documents.arrivals(
            seen.scan,
            seen.files,
            media_type=media_type,
            cache=seen.cache,
            first_sequence=context.next_sequence,
            scan_id=f"{source.name}-{context.next_sequence}",
            observed_at=context.now,
        )
        seen.keep()

    seen.keep()
    return Look(
        lambda: seen.scan.unchanged,
        rows(),
        context.pin.table,
        total=len(seen.scan.steps),
        notices=list(seen.scan.notices),
        problems=list(seen.scan.warnings),
    )


@dataclass(frozen=True, slots=True)
class SeenDocuments:
    """A scan of a document source with all that went into it."""

    files: documents.Files
    known: Mapping[str, documents.Known]
    cache: documents.StatCache
    scan: documents.Scan

    def keep(self) -> None:
        """Write what hashing has taught to the cache."""
        self.cache.save({*self.known, *(step.path for step in self.scan.steps)})


def scan_documents(
    where: Settings,
    con: duckdb.DuckDBPyConnection,
    raw: Pin | None,
    source: DocumentSource,
    *,
    again: Collection[str] = (),
) -> SeenDocuments:
    """Compare a source with what `raw` knows of it (None: nothing yet). Writes nothing."""
    files = documents.files_of(source)
    cache = documents.StatCache.load(where.scratch / "stat" / f"{source.name}.txt")
    known = known_documents(con, raw) if raw is not None else {}
    texts = None if raw is None else _Texts(con, raw, known)
    with _no_collections():
        scan = documents.scan(
            files, known=known, cache=cache, media_type=media_type, texts=texts, again=frozenset(again)
        )
    return SeenDocuments(files, known, cache, scan)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the garbage collector away: a listing is many small tuples and no cycles, and it would walk them all again.

    That is a quarter of the time of looking at 50,000 files.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Texts:
    """What raw holds of the files it knows, by DuckDB: only what is asked for."""

    con: duckdb.DuckDBPyConnection
    raw: Pin
    known: Mapping[str, documents.Known]

    def contents(self, paths: Sequence[str]) -> Mapping[str, bytes]:
        """Return the bytes that each of these files last had."""
        with self._given("wanted", "path", paths):
            return dict(self.con.execute(f"SELECT path, content FROM {self._latest()} AS l").fetchall())

    def lines_elsewhere(self, lines: frozenset[bytes], *, but: Sequence[str]) -> frozenset[bytes]:
        """Return those of `lines` that a known text file has, the files `but` aside, and those that are no UTF-8."""
        texts, undecoded = {}, set()
        for line in lines:
            try:
                texts[line.decode()] = line
            except UnicodeDecodeError:
                undecoded.add(line)
        here = [path for path in self.known.keys() - set(but) if media_type(path).startswith("text/")]
        blank = r"' \t\r\f\v'"
        with self._given("wanted", "path", here), self._given("sought", "line", list(texts)):
            found = self.con.execute(f"""
                SELECT DISTINCT line FROM (
                    SELECT trim(unnest(string_split(TRY(decode(content)), chr(10))), E{blank}) AS line
                    FROM {self._latest()} AS l
                ) AS split SEMI JOIN sought USING (line)
            """).fetchall()
        return frozenset(undecoded) | {texts[line] for (line,) in found}

    def _latest(self) -> str:
        """Return SQL that gives path and content of the files in `wanted` as raw last had them."""
        latest = f"SELECT max(sequence) FROM {relation(self.raw)} AS s SEMI JOIN wanted USING (path) GROUP BY path"
        return f"(SELECT path, content FROM {relation(self.raw)} AS r WHERE sequence IN ({latest}))"

    @contextmanager
    def _given(self, name: str, column: str, values: Sequence[str]) -> Iterator[None]:
        self.con.register(name, pa.table({column: pa.array(values, pa.string())}))
        try:
            yield
        finally:
            self.con.unregister(name)


def known_documents(con: duckdb.DuckDBPyConnection, raw: Pin) -> dict[str, documents.Known]:
    """Return the latest live row of each path; a path that was moved away is live no more."""
    rows = relation(raw)
    query = f"""
        SELECT path, max_by(op, sequence) AS op, nullif(max_by(sha256, sequence), '') AS sha256,
               nullif(max_by(size, sequence), -1) AS size, nullif(max_by(error, sequence), '') AS error
        FROM (
            SELECT path, op, coalesce(sha256, '') AS sha256, coalesce(size, -1) AS size,
                   coalesce(error, '') AS error, sequence * 2 + 1 AS sequence
            FROM {rows} AS here
            UNION ALL
            SELECT moved_from, 'gone', '', -1, '', sequence * 2 FROM {rows} AS left_behind WHERE op = 'move'
        ) AS observations
        GROUP BY path HAVING max_by(op, sequence) <> 'gone'
    """
    # By columns: of 50,000 files, a tenth of a second less than row by row.
    paths, *columns = (column.to_pylist() for column in con.execute(query).to_arrow_table().columns)
    return dict(zip(paths, map(documents.Known._make, zip(*columns, strict=True)), strict=True))


def _look_at_table(context: _Context, source: TableSource) -> Look:
    if source.database is not None:
        return _look_at_database(context, source)
    file = context.lake.settings.scratch / "stat" / f"{source.name}.json"
    known = known_files(context.con, context.pin, again=context.again)
    scan = tables.look(source, known, stamps=_stamps(file))
    _keep(file, json.dumps({path: asdict(stamp) for path, stamp in scan.stamps.items()}))
    unchanged = sum(known[path].rows for path in scan.unchanged if not known[path].error)
    notices = (
        [f"{len(scan.skipped)} files in no known format were left out, e.g. {scan.skipped[0]}"] if scan.skipped else []
    )
    if scan.is_nothing:
        return Look(lambda: unchanged, iter(()), context.pin.table, total=0, notices=notices)
    landing = _landing(context, source, scan, known=known)
    return Look(lambda: unchanged, landing.batches(), landing.table, notices=notices)


def _look_at_database(context: _Context, source: TableSource) -> Look:
    known = known_files(context.con, context.pin)
    again = _tables_again(context, source, known)
    database = context.opened.enter_context(closing(open_database(source)))
    scan, positions = database.look(known, context.cursor.positions, context.next_sequence, again=again)
    if scan.is_nothing:
        return Look(lambda: 0, iter(()), context.pin.table, total=0, notices=[f"{source.path} has no table to read"])
    landing = _landing(context, source, scan, database=database, known=known, again=again)
    return Look(lambda: landing.unchanged, landing.batches(), landing.table, positions=dict(positions))


def _tables_again(context: _Context, source: TableSource, known: Mapping[str, tables.KnownFile]) -> frozenset[str]:
    """Return the tables of an incremental source that are to be read whole again.

    They have a landing that did not come through whole, and were not read whole since. Others are read whole anyway.
    """
    if source.incremental == "none" or not context.again:
        return frozenset()
    done = dict(context.con.execute(read_whole(relation(context.pin))).fetchall())
    torn = ((path.rpartition("/")[0], known[path].sequence) for path in context.again if path in known)
    return frozenset(table for table, sequence in torn if sequence >= done.get(table, 0))


def _landing(context: _Context, source: TableSource, scan: tables.Scan, **given: Any) -> tables.Landing:
    own = len(raw_table(source.name, "table").columns)
    return tables.arrivals(
        context.con,
        source,
        scan,
        columns=context.pin.table.columns[own:],
        first_sequence=context.next_sequence,
        landed_at=context.now,
        last_field_id=context.lake.metadata(context.pin.metadata_location).last_column_id,
        scratch=context.lake.settings.scratch,
        raw=relation(context.pin),
        max_gone_share=1 if context.allow_gone or source.mode == "append" else source.max_gone_share,
        **given,
    )


def _keep(file: Path, text: str) -> None:
    """Write a cache, unless it says so already."""
    if not file.exists() or file.read_text("utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")


def _stamps(file: Path) -> dict[str, tables.Stamp]:
    try:
        return {path: tables.Stamp(**stamp) for path, stamp in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def known_files(
    con: duckdb.DuckDBPyConnection, raw: Pin, *, again: Collection[str] = ()
) -> dict[str, tables.KnownFile]:
    """Return the latest marker of each file that was not seen to vanish; those to be read `again` look changed."""
    marker = (
        "{'op': _op, 'sha256': _file_sha256, 'rows': _row, 'sequence': sequence, 'error': _error, "
        "'same_as': CASE _op WHEN 'same' THEN _payload END}"
    )
    query = (
        f"SELECT _file, max_by({marker}, sequence) FROM {relation(raw)} AS r "
        f"WHERE _op IN ('file', 'same') OR {GONE} GROUP BY _file"
    )
    return {
        path: tables.KnownFile(
            "" if path in again else last["sha256"], last["rows"] or 0, last["sequence"], last["error"], last["same_as"]
        )
        for path, last in con.execute(query).fetchall()
        if last["op"] != "gone"
    }


def _look_at_stream(context: _Context, source: StreamSource) -> Look:
    stored = context.cursor.positions
    before = streams.restored(stored)
    look = Look(lambda: context.cursor.last_sequence, iter(()), context.pin.table, positions=dict(stored))

    def rows() -> Iterator[pa.Table]:
        taken = 0
        if context.keep is not None:
            context.keep.clear()
        pieces = streams.read(
            source,
            before,
            first_sequence=context.next_sequence,
            landed_at=context.now,
            con=context.con,
            said=SAID if context.keep is not None else (),
        )
        for piece in pieces:
            if isinstance(piece, streams.Problem):
                (look.notices if piece.is_notice else look.problems).append(piece.message)
                continue
            look.positions = {shard: at.stored() for shard, at in piece.positions.items()}
            taken += piece.rows.num_rows
            if context.keep is not None:
                context.keep.add(piece.rows, piece.said)
            yield piece.rows
            if context.most is not None and taken >= context.most:
                return

    look.rows = rows()
    return look
