"""A commit over many tables: all or nothing, fenced, and flat in cost."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy.exc import OperationalError

from dagster_project.contracts import LEDGER, NOTES, SHARED, TAGS, VERSIONS, Column, Table
from dagster_project.errors import CommitConflict, CommitUnknown, LakeMoved, LakeUnsupported, SchemaMismatch
from dagster_project.failpoints import arm
from dagster_project.lake.catalog import Catalog
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import FORMAT_PROPERTY, Lake, open_lake
from dagster_project.lake.read import relation
from dagster_project.lake.replace import without_keys
from dagster_project.lake.schema import columns_of, iceberg_schema, partition_spec, sort_order
from dagster_project.lake.staging import StagedFile, Stager
from dagster_project.settings import settings


def staged(
    lake: Lake, table: Table, rows: Sequence[dict[str, object]], *, source: str = "vault"
) -> tuple[StagedFile, ...]:
    with Stager(lake, table, source) as stager:
        full = [{**dict.fromkeys(table.schema.names), "source": source, **row} for row in rows]
        stager.write(pa.Table.from_pylist(full, schema=table.schema))
        return stager.close()


def ids_in(lake: Lake, table: Table) -> list[str]:
    pin = lake.pins()[table.identifier]
    with lake.connect() as con:
        return [row[0] for row in con.execute(f"SELECT {table.key[0]} FROM {relation(pin)} AS t ORDER BY 1").fetchall()]


def test_a_new_lake_has_the_contracts_ids_specs_and_orders(lake: Lake) -> None:
    for table in SHARED:
        metadata = lake.metadata(lake.pins()[table.identifier].metadata_location)
        assert columns_of(metadata.schema()) == table.columns
        assert [field.source_id for field in metadata.spec().fields] == [
            f.source_id for f in partition_spec(table).fields
        ]
        assert [field.source_id for field in metadata.sort_order().fields] == [
            f.source_id for f in sort_order(table).fields
        ]
        assert metadata.properties[FORMAT_PROPERTY] == "1"
        assert metadata.format_version == 2


def test_nothing_is_visible_before_the_swap_and_everything_after(lake: Lake) -> None:
    pins = lake.pins()
    changes = [Change(pins[t.identifier], staged(lake, t, [{t.key[0]: "a"}])) for t in (NOTES, TAGS, VERSIONS)]
    seen: list[list[list[str]]] = []
    other = open_lake(lake.settings, clock=lake.clock, ids=lake.ids)
    with arm("commit.written", lambda: seen.append([ids_in(other, t) for t in (NOTES, TAGS, VERSIONS)])):
        commit(lake, changes, summary={})
    assert seen == [[[], [], []]]
    assert [ids_in(other, t) for t in (NOTES, TAGS, VERSIONS)] == [["a"], ["a"], ["a"]]


def test_a_conflict_on_the_last_table_rolls_back_all(lake: Lake) -> None:
    pins = lake.pins()
    commit(lake, [Change(pins[VERSIONS.identifier], staged(lake, VERSIONS, [{"note_id": "first"}]))], summary={})
    late = [Change(pins[t.identifier], staged(lake, t, [{t.key[0]: "late"}])) for t in (NOTES, TAGS, VERSIONS)]
    with pytest.raises(CommitConflict, match=r"notes\.versions"):
        commit(lake, late, summary={})
    assert [ids_in(lake, t) for t in (NOTES, TAGS, VERSIONS)] == [[], [], ["first"]]


def test_properties_and_summary_go_with_the_rows(lake: Lake) -> None:
    pin = lake.pins()[NOTES.identifier]
    commit(
        lake, [Change(pin, staged(lake, NOTES, [{"note_id": "a"}]), properties={"cursor": "7"})], summary={"copy": "7"}
    )
    after = lake.pins()[NOTES.identifier]
    assert lake.properties(after)["cursor"] == "7"
    snapshot = lake.metadata(after.metadata_location).current_snapshot()
    assert snapshot is not None
    assert snapshot.summary is not None
    assert snapshot.summary["copy"] == "7"


def test_an_empty_change_writes_nothing(lake: Lake) -> None:
    before = lake.catalog.locations()
    assert commit(lake, [Change(pin) for pin in lake.pins().values()], summary={"x": "y"}) == {}
    assert lake.catalog.locations() == before


def test_replacing_a_key_rewrites_only_the_file_that_holds_it(lake: Lake) -> None:
    for name in "abc":
        pin = lake.pins()[NOTES.identifier]
        commit(lake, [Change(pin, staged(lake, NOTES, [{"note_id": name}, {"note_id": f"{name}2"}]))], summary={})
    pin = lake.pins()[NOTES.identifier]
    with lake.connect() as con:
        con.execute("CREATE TEMP TABLE gone AS SELECT 'b' AS note_id")
        rewritten = without_keys(lake, con, pin, source="vault", key="note_id", keys="gone")
    assert rewritten.removed == {pin.files[1]}
    commit(lake, [Change(pin, rewritten.added, rewritten.removed)], summary={})
    after = lake.pins()[NOTES.identifier]
    assert ids_in(lake, NOTES) == ["a", "a2", "b2", "c", "c2"]
    assert set(pin.files) & set(after.files) == {pin.files[0], pin.files[2]}


def test_a_source_never_touches_another_sources_files(lake: Lake) -> None:
    pin = lake.pins()[NOTES.identifier]
    files = (*staged(lake, NOTES, [{"note_id": "x"}]), *staged(lake, NOTES, [{"note_id": "x"}], source="other"))
    commit(lake, [Change(pin, files)], summary={})
    pin = lake.pins()[NOTES.identifier]
    with lake.connect() as con:
        con.execute("CREATE TEMP TABLE gone AS SELECT 'x' AS note_id")
        rewritten = without_keys(lake, con, pin, source="other", key="note_id", keys="gone")
    assert [file for file in pin.files if "/other/" in file] == sorted(rewritten.removed)


def test_many_commits_leave_few_files_and_few_snapshots(lake: Lake) -> None:
    for number in range(60):
        pin = lake.pins()[LEDGER.identifier]
        with lake.connect() as con:
            folded = without_keys(lake, con, pin, source="vault", key="batch_id", keys=None)
        added = staged(lake, LEDGER, [{"batch_id": f"{number:03d}", "path": "p", "sequence": number}])
        commit(lake, [Change(pin, (*added, *folded.added), folded.removed)], summary={})
    after = lake.pins()[LEDGER.identifier]
    assert ids_in(lake, LEDGER) == [f"{number:03d}" for number in range(60)]
    assert len(after.files) <= 11
    assert len(lake.metadata(after.metadata_location).snapshots) <= 52


def test_a_file_with_swapped_field_ids_is_refused(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    swapped = Table(
        "notes",
        "notes",
        "",
        tuple(Column({1: 2, 2: 1}.get(c.field_id, c.field_id), c.name, c.type, c.doc, c.nested) for c in NOTES.columns),
        NOTES.key,
        NOTES.partition,
        NOTES.sort,
    )
    file = staged(lake, swapped, [{"note_id": "a"}])[0]
    from dagster_project.lake.staging import check_field_ids

    with pytest.raises(SchemaMismatch, match="note_id"):
        check_field_ids(NOTES, pq.read_metadata(file.path), file.path)


def test_a_column_that_is_added_reads_as_null_in_older_rows(lake: Lake) -> None:
    pin = lake.pins()[TAGS.identifier]
    commit(lake, [Change(pin, staged(lake, TAGS, [{"note_id": "old"}]))], summary={})
    pin = lake.pins()[TAGS.identifier]
    wider = Table(
        TAGS.namespace,
        TAGS.name,
        TAGS.row,
        (*TAGS.columns, Column(99, "weight", pa.int64(), "w")),
        TAGS.key,
        TAGS.partition,
    )
    widened = type(pin)(wider, pin.metadata_location, pin.snapshot_id, pin.files, pin.rows, pin.bytes)
    commit(lake, [Change(widened, staged(lake, wider, [{"note_id": "new", "weight": 3}]))], summary={})
    after = lake.pins()[TAGS.identifier]
    with lake.connect() as con:
        rows = con.execute(f"SELECT note_id, weight FROM {relation(after)} AS t ORDER BY 1").fetchall()
    assert rows == [("new", 3), ("old", None)]
    assert iceberg_schema(after.table.columns).find_field("weight").field_id == 99


def test_a_lake_of_a_newer_format_is_refused(lake: Lake) -> None:
    pin = lake.pins()[NOTES.identifier]
    commit(lake, [Change(pin, properties={FORMAT_PROPERTY: "2"})], summary={})
    with pytest.raises(LakeUnsupported, match="format 2"):
        open_lake(lake.settings, clock=lake.clock, ids=lake.ids)


def test_a_lake_that_was_moved_is_noticed(lake: Lake, tmp_path) -> None:
    (tmp_path / "lake").rename(tmp_path / "elsewhere")
    with pytest.raises(LakeMoved, match="relocate"):
        open_lake(settings(str(tmp_path / "elsewhere")), clock=lake.clock, ids=lake.ids)


def test_a_lake_that_is_not_there_is_not_made_for_a_reader(tmp_path, clock, ids) -> None:
    with pytest.raises(LakeUnsupported, match="no lake"):
        open_lake(settings(str(tmp_path / "none")), clock=clock, ids=ids, create=False)
    assert not (tmp_path / "none").exists()


def test_an_object_store_without_a_view_file_or_catalog_is_refused(monkeypatch, tmp_path, clock, ids) -> None:
    with pytest.raises(LakeUnsupported, match="NOTELAKE_VIEW_FILE"):
        settings("s3://bucket/lake")
    monkeypatch.setenv("NOTELAKE_VIEW_FILE", str(tmp_path / "lake.duckdb"))
    with pytest.raises(LakeUnsupported, match="PYICEBERG_CATALOG__NOTELAKE__URI"):
        open_lake(settings("s3://bucket/lake"), clock=clock, ids=ids)


def _break_commits(lake: Lake, monkeypatch: pytest.MonkeyPatch, *, holds: bool) -> None:
    """Let the next COMMIT of the catalog fail, before it is carried out or right after."""
    dialect = lake.catalog.engine.dialect
    commit_for_real = dialect.do_commit

    def fail(connection: object) -> None:
        monkeypatch.setattr(dialect, "do_commit", commit_for_real)
        if holds:
            commit_for_real(connection)  # type: ignore[arg-type]
        raise sqlite3.OperationalError("the connection was lost")

    monkeypatch.setattr(dialect, "do_commit", fail)


def test_a_commit_whose_answer_was_lost_is_found_to_hold(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    change = Change(lake.pins()[NOTES.identifier], staged(lake, NOTES, [{"note_id": "a"}]))
    _break_commits(lake, monkeypatch, holds=True)
    assert list(commit(lake, [change], summary={})) == [NOTES.identifier]
    assert ids_in(lake, NOTES) == ["a"]


def test_a_commit_that_was_not_carried_out_is_a_conflict(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    change = Change(lake.pins()[NOTES.identifier], staged(lake, NOTES, [{"note_id": "a"}]))
    _break_commits(lake, monkeypatch, holds=False)
    with pytest.raises(CommitConflict, match="connection was lost"):
        commit(lake, [change], summary={})
    assert ids_in(lake, NOTES) == []


def test_a_commit_nobody_can_tell_of_is_said_to_be_unknown(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    files = staged(lake, NOTES, [{"note_id": "a"}])
    change = Change(lake.pins()[NOTES.identifier], files)
    _break_commits(lake, monkeypatch, holds=True)

    def unreachable(self: Catalog) -> dict[str, str]:
        raise OperationalError("SELECT", {}, sqlite3.OperationalError("no connection"))

    with monkeypatch.context() as away:
        away.setattr(Catalog, "locations", unreachable)
        with pytest.raises(CommitUnknown, match="No file was deleted"):
            commit(lake, [change], summary={})
    assert Path(files[0].path).exists()
    assert ids_in(lake, NOTES) == ["a"]
