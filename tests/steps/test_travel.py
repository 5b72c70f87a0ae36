"""Athena's time travel and hidden columns, through the translator, over real Iceberg tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from dagster_project.contracts import NOTES
from dagster_project.dialects import Unsupported, translate
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.staging import Stager
from dagster_project.steps import serve as serving
from dagster_project.steps.travel import Travel
from dagster_project.terminal import column_types

Athena = Callable[..., list[tuple[Any, ...]]]


def add(lake: Lake, *ids: str, drop: Sequence[str] = ()) -> int:
    """Commit notes, take files away; return the snapshot."""
    with Stager(lake, NOTES, "vault") as stager:
        rows = [{**dict.fromkeys(NOTES.schema.names), "source": "vault", "note_id": each} for each in ids]
        stager.write(pa.Table.from_pylist(rows, schema=NOTES.schema))
        files = stager.close()
    commit(lake, [Change(lake.pins()[NOTES.identifier], files, frozenset(drop))], summary={})
    return lake.pins()[NOTES.identifier].snapshot_id or 0


@pytest.fixture
def athena(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Athena:
    """Publish the lake as it is, and ask it in Athena's SQL."""
    monkeypatch.setattr(serving, "views_in", lambda _: ())
    monkeypatch.setattr(serving, "macros_in", lambda _: ())

    def asking(query: str, dialect: str = "athena") -> list[tuple[Any, ...]]:
        serving.serve(lake)
        file = lake.settings.view_file
        sql = translate(query, dialect, column_types(file), Travel(file, lambda: lake)).sql
        with closing(duckdb.connect(str(file), read_only=True)) as con:
            return con.execute(f"SET TimeZone = 'UTC'; {sql}").fetchall()

    return asking


def test_a_table_is_read_as_it_was_at_a_snapshot_a_branch_or_an_instant(lake: Lake, athena: Athena) -> None:
    first = add(lake, "a")
    second = add(lake, "b", drop=lake.pins()[NOTES.identifier].files)
    assert athena("SELECT note_id FROM notes.notes") == [("b",)]
    assert athena(f"SELECT note_id FROM notes.notes FOR VERSION AS OF {first}") == [("a",)]
    assert athena("SELECT note_id FROM notes.notes FOR VERSION AS OF 'main'") == [("b",)]
    made = dict(athena('SELECT snapshot_id, CAST(committed_at AS varchar) FROM notes."notes$snapshots"'))
    for snapshot, note in ((first, "a"), (second, "b")):
        then = f"FOR TIMESTAMP AS OF TIMESTAMP '{made[snapshot]}'"
        assert athena(f"SELECT n.note_id FROM notes.notes {then} AS n") == [(note,)]
    both = f"SELECT t.note_id, o.note_id FROM notes.notes t CROSS JOIN notes.notes FOR VERSION AS OF {first} AS o"
    assert athena(both) == [("b", "a")]


@pytest.mark.parametrize(
    ("moment", "told"),
    [
        ("VERSION AS OF 7", "no snapshot 7"),
        ("VERSION AS OF 'nightly'", "no branch or tag nightly"),
        ("TIMESTAMP AS OF TIMESTAMP '2001-01-01 00:00:00 UTC'", "what is kept begins at"),
        ("TIMESTAMP AS OF DATE '2001-01-01'", "what is kept begins at"),
        ("TIMESTAMP AS OF 'yesterday'", "takes an instant"),
    ],
)
def test_a_past_that_is_not_known_is_refused(lake: Lake, athena: Athena, moment: str, told: str) -> None:
    add(lake, "a")
    with pytest.raises(Unsupported, match=told):
        athena(f"SELECT * FROM notes.notes FOR {moment}")


def test_the_file_of_a_row_is_known_and_a_star_does_not_show_it(lake: Lake, athena: Athena) -> None:
    add(lake, "a")
    add(lake, "b", "c")
    files = {Path(path): Path(path).stat() for path in lake.pins()[NOTES.identifier].files}
    rows = athena('SELECT "$path", "$file_size", to_unixtime("$file_modified_time"), note_id FROM notes.notes')
    assert {(Path(row[0]), row[1]) for row in rows} == {(path, stat.st_size) for path, stat in files.items()}
    assert all(abs(row[2] - files[Path(row[0])].st_mtime) < 1 for row in rows)
    counted = athena('SELECT count(*) FROM notes.notes GROUP BY "$path" ORDER BY 1')
    assert counted == [(1,), (2,)]
    for star in ("*", "t.*"):
        shown = athena(f"SELECT {star} FROM notes.notes t WHERE t.\"$path\" LIKE '%parquet' ORDER BY note_id")
        assert [len(row) for row in shown] == [len(NOTES.columns)] * 3
    assert len(athena('SELECT "$path", "$size" FROM notes.notes', "redshift")) == 3
    listed = athena("SHOW TABLES IN notes")
    assert ("notes",) in listed and not any("$" in name for (name,) in listed)
    ((count,),) = athena("SELECT count(*) FROM svv_external_columns WHERE tablename = 'notes'", "redshift")
    assert count == len(NOTES.columns)


def test_a_view_has_neither_files_nor_a_past(lake: Lake, athena: Athena) -> None:
    add(lake, "a")
    with pytest.raises(Unsupported, match="tells of files"):
        athena('SELECT "$path" FROM notes.contents')
    with pytest.raises(Unsupported, match=r"notes\.contents as it was"):
        athena("SELECT * FROM notes.contents FOR VERSION AS OF 1")
