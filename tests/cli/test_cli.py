"""What the `notelake` command promises: exit codes, formats, words, and where it writes.

What belongs here: what a person types and sees. What does not: what becomes of notes (`tests/pipeline`).
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"
HARD = """SELECT NULL AS nothing, '' AS empty, [1, NULL] AS list, {'a': 'ü"x'} AS struct, 'two
lines, "quoted"' AS words, TIMESTAMPTZ '2026-01-01 10:00:00+02' AS at, 1.50::DECIMAL(5,2) AS exact,
'[red]x[/]' AS markup"""


def notelake(*words: str, stdin: str | None = None) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, list(words), input=stdin, catch_exceptions=False)


def real(*words: str, cwd: Path | None = None, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command as a person does, in a process of its own."""
    command = [sys.executable, "-m", "dagster_project.cli", *words]
    return subprocess.run(command, cwd=cwd, input=stdin, text=True, capture_output=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("it's") / "My Notes"
    folder.mkdir()
    (folder / "a.md").write_text("# A\n\n[[b]] and [[nowhere]] #tag\n\n- [ ] do it\n", "utf-8")
    (folder / "b.md").write_text("# B\n", "utf-8")
    (folder / "c.md").write_bytes(b"caf\xc3\xa9, caf\xe9\n")
    return folder


@pytest.fixture(scope="module")
def kept(vault: Path) -> str:
    """A lake with one vault and one refused note, for tests that only read; its path has spaces and a quote."""
    lake = str(vault.parent / "the lake")
    assert notelake("ingest", str(vault), "--lake", lake).exit_code == 3
    return lake


def rows(lake: str, query: str) -> list[dict[str, Any]]:
    result = notelake("sql", query, "--format", "json", "--lake", lake)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    found = (file for file in folder.rglob("*") if file.is_file() and ".scratch" not in file.parts)
    return {str(file): (file.stat().st_mtime_ns, file.stat().st_size) for file in found}


def test_every_command_has_help_that_fits_a_line() -> None:
    listed = notelake("--help").output
    assert all(name in listed for name in main.commands)
    assert "..." not in listed.split("Commands:")[1]


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["run", "--nonsense"],
        ["run", "nobody"],
        ["ingest", "/no/such/place"],
        ["ingest", str(SAMPLE), "--kind", "song"],
        ["ingest", str(SAMPLE), "--name", "Not A Name"],
        ["sql", "SELECT 1", "--format", "xml"],
        ["sql", "SELECT 1"],
        ["status"],
        ["quarantine", "list"],
    ],
)
def test_wrong_use_has_exit_code_2_and_leaves_no_lake(words: list[str], tmp_path: Path) -> None:
    lake = [] if words == ["nonsense"] else ["--lake", str(tmp_path / "lake")]
    result = notelake(*words, *lake)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert not (tmp_path / "lake").exists()


@pytest.mark.parametrize(
    "query", ["SELEC", "SELECT * FROM nix", "DROP VIEW notes.notes", "", "SELECT CAST('x' AS INT)"]
)
def test_a_query_that_does_not_hold_is_wrong_use_in_duckdb_s_own_words(kept: str, query: str) -> None:
    result = notelake("sql", query, "--lake", kept)
    assert result.exit_code == 2
    assert result.stderr.startswith("notelake: ")
    assert result.stdout == ""


def test_a_run_in_which_something_was_refused_has_exit_code_3_and_says_what_next(vault: Path, tmp_path: Path) -> None:
    result = notelake("ingest", str(vault), "--lake", str(tmp_path / "lake"))
    assert result.exit_code == 3
    assert "3 files" in result.stdout
    assert "quarantine list --lake" in result.stdout
    assert "is read as documents, source 'my_notes'" in result.stderr


def test_a_second_run_is_done_with_code_0_and_changes_no_file(kept: str, vault: Path) -> None:
    before = files(Path(kept))
    assert notelake("ingest", str(vault), "--lake", kept).exit_code == 0
    assert files(Path(kept)) == before


def test_a_run_in_which_every_source_failed_has_exit_code_1_and_serves_what_was_there(
    vault: Path, tmp_path: Path
) -> None:
    lake, folder = str(tmp_path / "lake"), tmp_path / "notes"
    folder.mkdir()
    for number in range(4):
        (folder / f"{number}.md").write_text(f"note {number}\n", "utf-8")
    assert notelake("ingest", str(folder), "--lake", lake).exit_code == 0
    for number in range(3):
        (folder / f"{number}.md").unlink()
    refused = notelake("ingest", str(folder), "--lake", lake)
    assert refused.exit_code == 1
    assert "TooManyGone" in refused.stderr
    assert rows(lake, "SELECT count(*) AS n FROM notes.notes") == [{"n": 4}]
    assert notelake("ingest", str(folder), "--lake", lake, "--allow-gone").exit_code == 0
    assert rows(lake, "SELECT count(*) AS n FROM notes.notes") == [{"n": 1}]


def test_a_project_s_run_has_code_3_when_one_of_its_sources_fails_and_the_others_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sources = tmp_path / "dagster_project" / "defs" / "sources"
    for name, path in (("good", "good"), ("lost", "nowhere")):
        (sources / name).mkdir(parents=True)
        text = f"type: dagster_project.components.DocumentSource\nattributes: {{name: {name}, path: {path}}}\n"
        (sources / name / "defs.yaml").write_text(text, "utf-8")
    (tmp_path / "good").mkdir()
    (tmp_path / "good" / "a.md").write_text("# A\n", "utf-8")
    monkeypatch.setenv("NOTELAKE_PROJECT", str(tmp_path))
    result = notelake("run")
    assert result.exit_code == 3
    assert "SourceUnavailable" in result.stderr
    assert rows(str(tmp_path / "data" / "lake"), "SELECT title FROM notes.notes") == [{"title": "A"}]
    assert notelake("run", "lost").exit_code == 1
    assert notelake("run", "good").exit_code == 0


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("people.csv", "id,name\n1,Ada\n2,Bo\n", "table"),
        ("rows.jsonl", '{"id": 1, "title": "x"}\n{"id": 2, "title": "y"}\n', "table"),
        ("one.md", "# One\n", "documents"),
        (
            "events.jsonl",
            '{"id": "e1", "type": "note.created", "time": "2026-05-14T09:00:00Z", "path": "a"}\n',
            "stream",
        ),
    ],
)
def test_a_single_file_is_told_by_what_it_holds(tmp_path: Path, name: str, text: str, kind: str) -> None:
    from dagster_project.guess import guess_source

    (tmp_path / name).write_text(text, "utf-8")
    source = guess_source(str(tmp_path / name), kind=None, name=None)
    assert (source.kind, source.name) == (kind, name.split(".", maxsplit=1)[0])


def test_an_empty_folder_is_no_failure_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = notelake("ingest", str(tmp_path / "empty"), "--lake", str(tmp_path / "lake"))
    assert result.exit_code == 0
    assert "nothing was found there" in result.stderr


def test_csv_reads_back_to_the_same_values(kept: str) -> None:
    text = notelake("sql", HARD, "--format", "csv", "--lake", kept).stdout
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["words"] == 'two\nlines, "quoted"'
    assert (row["list"], row["exact"], row["at"]) == ("[1, NULL]", "1.50", "2026-01-01 08:00:00+00")
    assert text.splitlines()[1].startswith(',"",'), "NULL is nothing, an empty text is two quotes"


def test_json_is_one_object_per_line_with_lists_and_structs_as_such(kept: str) -> None:
    (row,) = rows(kept, HARD)
    assert row["nothing"] is None
    assert row["empty"] == ""
    assert row["list"] == [1, None]
    assert row["struct"] == {"a": 'ü"x'}
    assert row["markup"] == "[red]x[/]"
    assert len(rows(kept, "SELECT * FROM notes.notes UNION ALL SELECT * FROM notes.notes")) == 4


def test_a_table_shows_text_as_it_is_and_numbers_to_the_right(kept: str) -> None:
    shown = notelake("sql", "SELECT '[red]x[/]' AS markup, 1 AS number", "--lake", kept).stdout
    assert shown.split("\n")[1:4] == [" markup      number", " ──────────────────", " [red]x[/]        1"]


def test_a_query_comes_from_an_argument_a_file_or_standard_input(kept: str, tmp_path: Path) -> None:
    file = tmp_path / "my query.sql"
    file.write_text("SELECT 7 AS n", "utf-8")
    options = ["--format", "csv", "--lake", kept]
    assert notelake("sql", str(file), *options).stdout == "n\n7\n"
    assert notelake("sql", "-", *options, stdin="SELECT 7 AS n").stdout == "n\n7\n"
    assert notelake("sql", *options, stdin="SET threads = 1; SELECT 7 AS n; SELECT 8 AS m").stdout == "n\n7\nm\n8\n"
    assert notelake("sql", str(tmp_path / "none.sql"), *options).exit_code == 2


def test_the_lake_can_be_named_by_the_environment(kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTELAKE_LAKE", kept)
    assert notelake("sql", "SELECT count(*) AS n FROM notes.notes", "--format", "csv").stdout == "n\n2\n"


def test_status_names_sources_tables_and_what_is_served(kept: str) -> None:
    shown = notelake("status", "--lake", kept).stdout
    assert all(word in shown for word in ("my_notes", "raw.my_notes", "notes.versions", "lake.duckdb"))


def test_docs_are_pages_of_sources_batches_and_suites_without_text(kept: str, tmp_path: Path) -> None:
    written = notelake("docs", "--lake", kept, "--out", str(tmp_path / "docs"))
    assert written.exit_code == 0
    assert str(tmp_path / "docs" / "index.html") in written.stderr
    pages = {file.stem: file.read_text("utf-8") for file in (tmp_path / "docs").rglob("*.html")}
    assert {"my_notes", "my_notes-000000000001-000000000003", "notes.notes"} <= pages.keys()
    assert not [name for name, page in pages.items() if "caf" in page or "do it" in page]
    assert notelake("docs", "--lake", kept, "--out", str(Path(kept).parent)).exit_code == 2


def test_quarantine_shows_rule_place_and_text(kept: str) -> None:
    listed = notelake("quarantine", "list", "--lake", kept)
    assert "encoding" in listed.stdout
    assert "c.md:1" in listed.stdout
    shown = notelake("quarantine", "show", "c.md", "--lake", kept).stdout
    assert all(word in shown for word in ("caf\\xe9", "encoding", "c.md:1", "arrival 3", "refused at 20", "it waits"))
    assert shown == notelake("quarantine", "show", "c.", "my_notes", "--lake", kept).stdout
    assert notelake("quarantine", "show", "b.md", "--lake", kept).exit_code == 2
    for words in (["list"], ["show", "c.md"], ["release"]):
        unknown = notelake("quarantine", *words, "nobody", "--lake", kept)
        assert unknown.exit_code == 2
        assert "There are: my_notes" in unknown.stderr


def test_quarantine_release_says_what_is_good_now_and_what_is_not(kept: str) -> None:
    for words in ([], ["my_notes"], ["my_notes", "c.md"], ["my_notes", "--rule", "encoding"]):
        released = notelake("quarantine", "release", *words, "--lake", kept)
        assert (released.exit_code, released.stdout) == (3, "my_notes: 0 let through, 1 refused again.\n")
    assert notelake("quarantine", "release", "my_notes", "b.md", "--lake", kept).exit_code == 2
    assert "c.md" in notelake("quarantine", "list", "--lake", kept).stdout


def test_quarantine_lists_what_is_open_and_with_all_what_was_mended_too(vault: Path, tmp_path: Path) -> None:
    notes, lake = tmp_path / "notes", ["--lake", str(tmp_path / "lake")]
    shutil.copytree(vault, notes)
    assert notelake("ingest", str(notes), *lake).exit_code == 3
    (notes / "c.md").write_text("café\n", "utf-8")
    assert notelake("ingest", str(notes), *lake).exit_code == 0
    assert notelake("quarantine", "list", *lake).stdout == "Nothing is in quarantine here.\n"
    assert "encoding" in notelake("quarantine", "list", "--all", *lake).stdout


def test_what_is_discarded_is_listed_no_more_keeps_its_reason_and_stays_in_raw(vault: Path, tmp_path: Path) -> None:
    lake, (name, source) = ["--lake", str(tmp_path / "lake")], ("c.md", "my_notes")
    assert notelake("ingest", str(vault), *lake).exit_code == 3
    rule = rows(lake[1], "SELECT rule FROM ops.quarantine")[0]["rule"]
    assert "c.md" in notelake("quarantine", "list", "--rule", rule, *lake).stdout
    assert notelake("quarantine", "list", "--rule", "other", *lake).stdout == "Nothing is in quarantine here.\n"
    before = rows(lake[1], "SELECT * EXCLUDE (discarded_at, discarded_why) FROM ops.quarantine")

    for words in ([source], [source, "nix.md", "--why", "x"], ["nobody", "--why", "x"], [source, "--why", " "]):
        assert notelake("quarantine", "discard", *words, *lake).exit_code == 2, words
    told = notelake("quarantine", "discard", source, "--rule", "other", "--why", "x", *lake).stdout
    assert told == "my_notes: 0 refusals discarded.\n3 seen = 2 committed + 1 quarantined\n"
    assert name in notelake("quarantine", "list", *lake).stdout

    told = notelake("quarantine", "discard", source, name, "--why", "it's old", *lake).stdout
    assert told == "my_notes: 1 refusal discarded.\n3 seen = 2 committed + 1 discarded\n"
    assert "given up at 20" in notelake("quarantine", "show", name, *lake).stdout
    assert notelake("ledger", "--bad", *lake).exit_code == 0
    assert notelake("quarantine", "list", "--all", *lake).stdout == "Nothing is in quarantine here.\n"
    kept = rows(lake[1], "SELECT discarded_at IS NOT NULL AS at, discarded_why AS why FROM ops.quarantine")
    assert kept == [{"at": True, "why": "it's old"}]
    assert rows(lake[1], "SELECT * EXCLUDE (discarded_at, discarded_why) FROM ops.quarantine") == before
    assert rows(lake[1], "SELECT count(*) AS n FROM raw.my_notes WHERE path = 'c.md'") == [{"n": 1}]
    assert notelake("quarantine", "discard", source, name, "--why", "again", *lake).exit_code == 2


def test_a_paused_source_is_skipped_and_said_so_and_taken_up_again(tmp_path: Path) -> None:
    notes, lake = tmp_path / "notes", ["--lake", str(tmp_path / "lake")]
    notes.mkdir()
    (notes / "a.md").write_text("# A\n", "utf-8")
    assert notelake("ingest", str(notes), *lake).exit_code == 0
    shown = "notes: 1 arrivals landed, committed up to 1"
    assert notelake("bookmark", "show", *lake).stdout == f"{shown}\n"
    assert notelake("bookmark", "pause", "nobody", *lake).exit_code == 2
    for _ in range(2):
        assert notelake("bookmark", "pause", "notes", *lake).exit_code == 0
    (notes / "b.md").write_text("# B\n", "utf-8")
    skipped = notelake("ingest", str(notes), *lake)
    assert skipped.exit_code == 0
    assert "Paused since" in skipped.output
    assert notelake("bookmark", "show", "notes", *lake).stdout.startswith(f"{shown}, paused since 20")
    assert rows(lake[1], "SELECT path FROM notes.notes") == [{"path": "a.md"}]
    assert notelake("bookmark", "resume", "notes", *lake).exit_code == 0
    assert notelake("ingest", str(notes), *lake).exit_code == 0
    assert rows(lake[1], "SELECT path FROM notes.notes ORDER BY path") == [{"path": "a.md"}, {"path": "b.md"}]
    newest, oldest = notelake("bookmark", "states", "notes", *lake).stdout.splitlines()
    assert ("up to 2" in newest, "up to 1" in oldest) == (True, True)
    back = ["bookmark", "rewind", "notes", "--to", oldest.split("snapshot ")[1].split()[0], *lake]
    told = ["  notes.notes: 1 rows, 2 before", "The next run makes the arrivals after 1"]
    for words, is_done in ((("--dry-run",), False), ((), True)):
        result = notelake(*back, *words)
        assert result.exit_code == 0
        assert result.stdout.startswith(f"notes {'is' if is_done else 'would be'} as it was at 20"), result.stdout
        assert all(line in result.stdout for line in told)
        shown = "SELECT count(*) AS n FROM notes.notes"
        assert rows(lake[1], shown) == [{"n": 1 if is_done else 2}]
    assert "Nothing was changed" in notelake(*back).stdout
    assert notelake("bookmark", "rewind", "notes", "--to", "never", *lake).exit_code == 2


def test_a_moved_lake_says_so_in_every_command_and_is_mended(kept: str, vault: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved lake"
    shutil.copytree(kept, tmp_path / "first")
    assert notelake("relocate", "--lake", str(tmp_path / "first")).exit_code == 0
    (tmp_path / "first").rename(moved)
    for words in (["sql", "FROM notes.notes"], ["status"], ["ingest", str(vault)], ["doctor"]):
        result = notelake(*words, "--lake", str(moved))
        assert result.exit_code == 1, words
        assert "relocate" in result.output, words
    assert "tables now say" in notelake("relocate", "--lake", str(moved)).stdout
    assert len(rows(str(moved), "FROM notes.notes")) == 2
    assert "Nothing was to be mended" in notelake("relocate", "--lake", str(moved)).stdout
    assert notelake("doctor", "--lake", str(moved)).exit_code == 0


def test_a_kind_s_name_cannot_be_taken_by_another_kind(kept: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a\n1\n", "utf-8")
    result = notelake("ingest", str(tmp_path / "t.csv"), "--name", "my_notes", "--lake", kept)
    assert result.exit_code == 1
    assert "another kind" in result.stderr


@pytest.mark.slow
def test_the_real_command_prints_no_progress_into_a_pipe_and_works_from_any_folder(vault: Path, tmp_path: Path) -> None:
    done = real("ingest", str(vault), "--lake", "here", cwd=tmp_path)
    assert done.returncode == 3, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, "only what the path is read as"
    assert all(line == line.rstrip() for line in done.stdout.splitlines())
    asked = real(
        "sql", "--format", "csv", "--lake", "here", cwd=tmp_path, stdin="SELECT count(*) AS n FROM notes.notes"
    )
    assert (asked.returncode, asked.stdout) == (0, "n\n2\n")
    with duckdb.connect(str(tmp_path / "here" / "lake.duckdb"), read_only=True) as con:
        assert con.execute("SELECT count(*) FROM notes.notes").fetchall() == [(2,)]


def test_the_duckdb_shell_opens_the_file_while_another_shell_has_it_open(kept: str) -> None:
    shell = Path(sys.executable).with_name("duckdb")
    if not shell.is_file():
        pytest.skip("duckdb-cli is not installed beside this Python")
    command = [str(shell), "-readonly", "-csv", f"{kept}/lake.duckdb"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        query = [*command, "-c", "SELECT count(*) AS n FROM notes.notes"]
        second = subprocess.run(query, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        assert second.stdout.replace("\r", "") == "n\n2\n"
        assert first.communicate("SELECT 1 AS x;\n")[0].replace("\r", "") == "x\n1\n"
