"""Athena's and Redshift's names for what stands in the lake, in a plain DuckDB file, over real Iceberg tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import EVENTS, NOTES, Table
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.metadata_tables import facts_of
from dagster_project.lake.staging import Stager
from dagster_project.steps import serve as serving

Rows = Sequence[dict[str, object]]


def add(lake: Lake, table: Table, rows: Rows, *, source: str = "vault", drop: Sequence[str] = ()) -> None:
    """Commit some rows of a table, and take files away."""
    with Stager(lake, table, source) as stager:
        full = [{**dict.fromkeys(table.schema.names), "source": source, **row} for row in rows]
        stager.write(pa.Table.from_pylist(full, schema=table.schema))
        files = stager.close()
    commit(lake, [Change(lake.pins()[table.identifier], files, frozenset(drop))], summary={"who": "test"})


Ask = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def ask(lake: Lake) -> Ask:
    def asking(query: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as con:
            con.execute(f"ATTACH '{lake.settings.view_file}' AS lake (READ_ONLY); USE lake; SET TimeZone = 'UTC'")
            return con.execute(query).fetchall()

    return asking


@pytest.fixture
def served(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Publish without the project's own views, which the metadata tables do not need."""
    monkeypatch.setattr(serving, "views_in", lambda _: ())
    monkeypatch.setattr(serving, "macros_in", lambda _: ())
    return lambda: [serving.serve(lake), None][1]


def test_every_commit_is_a_snapshot_with_its_manifests_and_files(
    lake: Lake, served: Callable[[], None], ask: Ask
) -> None:
    served()
    assert ask('SELECT count(*) FROM notes."notes$snapshots"') == [(0,)]
    add(lake, NOTES, [{"note_id": "a", "title": "A", "word_count": 3}])
    served()
    add(lake, NOTES, [{"note_id": "b", "title": "B", "word_count": 40}, {"note_id": "c", "title": None}])
    served()
    first, second = ask('SELECT * FROM notes."notes$snapshots" ORDER BY committed_at')
    assert (first[2], second[2]) == (None, first[1])
    assert (first[3], first[5]["who"], second[5]["total-records"]) == ("append", "test", "3")
    history = ask('SELECT snapshot_id, is_current_ancestor FROM notes."notes$history" ORDER BY made_current_at')
    assert history == [(first[1], True), (second[1], True)]
    assert ask('SELECT name, type, snapshot_id FROM notes."notes$refs"') == [("main", "BRANCH", second[1])]
    manifests = ask('SELECT added_snapshot_id, added_rows_count, partitions FROM notes."notes$manifests" ORDER BY 2')
    bounds = [{"contains_null": False, "contains_nan": False, "lower_bound": "vault", "upper_bound": "vault"}]
    assert manifests == [(first[1], 1, bounds), (second[1], 2, bounds)]
    files = ask('SELECT file_path, record_count, lower_bounds[1] FROM notes."notes$files" ORDER BY 2')
    assert [row[1:] for row in files] == [(1, "a"), (2, "b")]
    assert {row[0] for row in files} == {*lake.pins()[NOTES.identifier].files}
    partitions = ask(
        'SELECT partition, record_count, file_count, data.title, data.word_count FROM notes."notes$partitions"'
    )
    title = {"min": "A", "max": "B", "null_count": 1, "nan_count": None}
    words = {"min": 3, "max": 40, "null_count": 1, "nan_count": None}
    assert partitions == [({"source": "vault"}, 3, 2, title, words)]


def test_what_is_replaced_leaves_the_files_and_stays_in_the_history(
    lake: Lake, served: Callable[[], None], ask: Ask
) -> None:
    add(lake, NOTES, [{"note_id": "a"}])
    add(lake, NOTES, [{"note_id": "b"}])
    served()
    add(lake, NOTES, [{"note_id": "c"}], drop=lake.pins()[NOTES.identifier].files[:1])
    served()
    assert ask('SELECT lower_bounds[1] FROM notes."notes$files" ORDER BY 1') == [("b",), ("c",)]
    operations = ask('SELECT operation FROM notes."notes$snapshots" ORDER BY committed_at')
    assert operations == [("append",), ("append",), ("overwrite",)]


def test_a_publication_tells_only_of_the_new_files_of_tables_that_moved(
    lake: Lake, served: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(lake, NOTES, [{"note_id": "a"}])
    served()
    told: list[tuple[str, int]] = []

    def counting(lake_: Lake, pin: Any, known: Any) -> Any:
        facts = facts_of(lake_, pin, known)
        told.append((pin.table.identifier, facts["files"].num_rows))
        return facts

    monkeypatch.setattr(serving, "facts_of", counting)
    add(lake, NOTES, [{"note_id": "b"}])
    served()
    assert told == [("notes.notes", 1)]


def test_days_and_sources_are_partitions_with_their_own_types(lake: Lake, served: Callable[[], None], ask: Ask) -> None:
    days = [datetime(2026, 5, day, 12, tzinfo=UTC) for day in (1, 3)]
    add(lake, EVENTS, [{"event_id": str(day), "occurred_at": day} for day in days], source="live")
    served()
    found = ask('SELECT partition, typeof(partition), data.occurred_at.min FROM notes."events$partitions" ORDER BY ALL')
    assert [row[0]["occurred_at_day"].day for row in found] == [1, 3]
    assert {row[1] for row in found} == {'STRUCT("source" VARCHAR, occurred_at_day DATE)'}
    assert [row[2].isoformat() for row in found] == ["2026-05-01T12:00:00+00:00", "2026-05-03T12:00:00+00:00"]


def test_redshift_s_names_tell_of_the_iceberg_tables(lake: Lake, served: Callable[[], None], ask: Ask) -> None:
    add(lake, NOTES, [{"note_id": "a"}])
    served()
    schemas = ask("SELECT schemaname, eskind, databasename FROM svv_external_schemas ORDER BY 1")
    assert schemas == [("notes", 1, "notes"), ("ops", 1, "ops")]
    tables = "SELECT tabletype, location, parameters FROM svv_external_tables WHERE tablename = 'notes'"
    ((kind, location, parameters),) = ask(tables)
    assert (kind, location) == ("TABLE", f"{lake.settings.lake}/notes/notes")
    assert '"table_type":"ICEBERG"' in parameters
    columns = ask(
        "SELECT columnname, external_type, part_key FROM svv_external_columns "
        "WHERE schemaname = 'notes' AND tablename = 'notes' AND columnname IN ('source', 'tags', 'created_at')"
    )
    assert sorted(columns) == [("created_at", "timestamp", 0), ("source", "string", 1), ("tags", "array<string>", 0)]
    partitions = ask('SELECT schemaname, tablename, "values" FROM svv_external_partitions')
    assert partitions == [("notes", "notes", '["vault"]')]
    assert ask("SET search_path = 'notes'; SELECT count(*) > 5 FROM svv_external_tables") == [(True,)]
