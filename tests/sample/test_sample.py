"""The sample holds what its README says, counted without notelake.

What belongs here: checks of `data/sample` and of its declarations, with nothing but parsers of the standard library.
What does not: what notelake makes of the sample (see the flow tests).
"""

from __future__ import annotations

import csv
import json
import re
import struct
import zlib
from collections import Counter
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
import yaml

from dagster_project.sources import DocumentSource, NoteMapping, Source, StreamSource, TableSource, declared_sources

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "data" / "sample"
VAULT = SAMPLE / "vault"
SESSIONS = SAMPLE / "tables" / "sessions.csv"
SHARDS = tuple(SAMPLE / "live" / f"shard-{n}.jsonl" for n in (0, 1))
WIKILINK = re.compile(r"\[\[([^\]|#\\]*)(?:#([^\]|\\]*))?(?:\\?\|[^\]]*)?\]\]")
MARKDOWN_LINK = re.compile(r"\]\((?:<([^>]+)>|([^)\s]+))[^)]*\)")


class Place(NamedTuple):
    """A line of a file of the sample, lines counted from 1."""

    file: str
    line: int


def _readme_rows(heading: str) -> list[list[str]]:
    """Cells of the first table under `heading` in the sample's README, its head left out."""
    text = (SAMPLE / "README.md").read_text("utf-8").split(f"## {heading}\n", 1)[1].split("\n## ")[0]
    table = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def _fault(name: str) -> Place:
    """Where the README says that the fault `name` is."""
    cell = {row[0]: row[1] for row in _readme_rows("What is wrong with it")}[name]
    file, line = cell.strip("`").rsplit(":", 1)
    return Place(file, int(line))


def _told(source: str) -> list[int]:
    """The README's figures for `source`: seen, committed, duplicate, quarantined, current notes."""
    cells = {row[0]: row[1:] for row in _readme_rows("How much there is")}[f"`{source}`"]
    return [int(cell.split()[0]) for cell in cells]


def _files() -> list[Path]:
    """The vault's files that aren't hidden."""
    found = sorted(path for path in VAULT.rglob("*") if path.is_file())
    return [path for path in found if not any(part.startswith(".") for part in path.relative_to(VAULT).parts)]


def _is_utf8(path: Path) -> bool:
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@cache
def _notes() -> dict[str, str]:
    """Text of each readable note by its path in the vault."""
    files = [path for path in _files() if path.suffix in {".md", ".txt"} and _is_utf8(path)]
    return {path.relative_to(VAULT).as_posix(): path.read_text("utf-8") for path in files}


def _without_code(text: str) -> str:
    """The text with its code blanked out, line for line."""
    fences = re.sub(r"^```.*?^```$", lambda found: "\n" * found[0].count("\n"), text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`|^ {4}.*$", "", fences, flags=re.MULTILINE)


def _front_matter(text: str) -> dict[str, Any]:
    block = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    return dict(yaml.safe_load(block[1])) if block else {}


@cache
def _broken_front_matter() -> dict[str, int]:
    """Line of the first error in each note whose front matter is no YAML."""
    broken = {}
    for path, text in _notes().items():
        try:
            _front_matter(text)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line if error.problem_mark else -1
            broken[path] = line + 2  # from 1, and after the opening ---
    return broken


@cache
def _names() -> dict[str, str]:
    """What a wikilink may call each file of the vault: file name, stem or alias, in lower case."""
    names: dict[str, str] = {}
    notes, broken = _notes(), _broken_front_matter()
    for file in _files():
        path = file.relative_to(VAULT).as_posix()
        aliases = [] if path in broken else _front_matter(notes.get(path, "")).get("aliases", [])
        names |= dict.fromkeys((name.lower() for name in (*aliases, file.stem, file.name)), path)
    return names


def _resolves(target: str, fragment: str | None, source: str) -> bool:
    """Whether the file is there, and in it the heading or block the fragment names."""
    path = _names().get(target.lower()) if target else source
    if path is None or not fragment:
        return path is not None
    text = _notes()[path]
    if fragment.startswith("^"):
        return re.search(rf" {re.escape(fragment)}$", text, re.MULTILINE) is not None
    return re.search(rf"^#+ {re.escape(fragment)}$", text, re.MULTILINE) is not None


@cache
def _wikilinks() -> list[tuple[Place, str, str | None]]:
    return [
        (Place(f"vault/{path}", number), match[1], match[2])
        for path, text in _notes().items()
        for number, line in enumerate(_without_code(text).splitlines(), start=1)
        for match in WIKILINK.finditer(line)
    ]


@cache
def _sessions() -> dict[int, dict[str, str]]:
    """The session rows by the line they begin on."""
    rows, begins = {}, 2
    with SESSIONS.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        for row in reader:
            rows[begins] = row
            begins = reader.line_num + 1
    return rows


def _speakers() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE / "tables" / "speakers.jsonl").read_text("utf-8").splitlines()]


@cache
def _events() -> tuple[list[tuple[Place, dict[str, Any]]], list[Place]]:
    """The events in order of arrival, shard by shard, and where a line is none."""
    events, refused = [], []
    for shard in SHARDS:
        for number, line in enumerate(shard.read_text("utf-8").splitlines(), start=1):
            place = Place(f"live/{shard.name}", number)
            try:
                events.append((place, json.loads(line)))
            except json.JSONDecodeError:
                refused.append(place)
    return events, refused


def _told_in_order() -> list[dict[str, Any]]:
    """Each event once, by the time it happened."""
    return sorted({event["id"]: event for _, event in _events()[0]}.values(), key=lambda event: str(event["time"]))


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


# How much there is


def test_the_vault_holds_as_many_files_and_notes_as_told() -> None:
    unreadable = [path for path in _files() if path.suffix in {".md", ".txt"} and not _is_utf8(path)]
    seen, refused = len(_files()), len(unreadable)
    assert _told("conference_vault") == [seen, seen - refused, 0, refused, len(_notes())]


def test_the_programme_holds_as_many_rows_as_told() -> None:
    rows = _sessions().values()
    good = [row for row in rows if _is_time(row["starts_at"]) and row["starts_at"].startswith("2026-")]
    assert _told("sessions") == [len(rows), len(good), 0, len(rows) - len(good), len(good)]


def test_there_are_as_many_speakers_as_told() -> None:
    rows = _speakers()
    distinct = len({row["speaker_id"] for row in rows})
    assert _told("speakers") == [len(rows), distinct, 0, 0, distinct]


def test_the_stream_holds_as_many_events_as_told() -> None:
    events, refused = _events()
    distinct = len({event["id"] for _, event in events})
    kinds = Counter(event["detail-type"] for event in _told_in_order())
    seen, current = len(events) + len(refused), kinds["note.created"] - kinds["note.deleted"]
    assert _told("live_notes") == [seen, distinct, len(events) - distinct, len(refused), current]


# What is wrong with it


def test_exactly_one_front_matter_is_broken_and_where_told() -> None:
    assert [Place(f"vault/{path}", line) for path, line in _broken_front_matter().items()] == [_fault("broken-yaml")]


def test_exactly_one_file_is_not_utf_8_and_where_told() -> None:
    readable = [path for path in _files() if path.suffix != ".png"]
    wrong = []
    for path in (path for path in readable if not _is_utf8(path)):
        lines = path.read_bytes().split(b"\n")
        line = next(n for n, text in enumerate(lines, start=1) if not text.isascii())
        wrong.append(Place(path.relative_to(SAMPLE).as_posix(), line))
    assert wrong == [_fault("encoding")]


def test_exactly_one_wikilink_is_dead_and_where_told() -> None:
    dead = [place for place, target, fragment in _wikilinks() if not _resolves(target, fragment, place.file[6:])]
    assert dead == [_fault("dead-link")]


def test_exactly_one_note_is_an_orphan_and_where_told() -> None:
    names = _names()
    linked = {names.get(target.lower()) for _, target, _ in _wikilinks()}
    linked |= {_relative(path, target) for path, target in _relative_links()}
    assert [Place(f"vault/{path}", 1) for path in _notes() if path not in linked] == [_fault("orphan")]


def _relative_links() -> list[tuple[str, str]]:
    """The Markdown links and images that stay in the vault: note, target as written but for %20."""
    found = [
        (path, match[1] or match[2])
        for path, text in _notes().items()
        for match in MARKDOWN_LINK.finditer(_without_code(text))
    ]
    return [(path, target.replace("%20", " ")) for path, target in found if "://" not in target]


def _relative(path: str, target: str) -> str:
    return ((VAULT / path).parent / target).resolve().relative_to(VAULT).as_posix()


def test_every_relative_link_leads_to_a_file() -> None:
    links = _relative_links()
    assert len(links) >= 4
    assert [link for link in links if not (VAULT / _relative(*link)).is_file()] == []


def test_exactly_one_session_starts_on_a_day_that_is_none_and_where_told() -> None:
    assert [Place("tables/sessions.csv", n) for n, row in _sessions().items() if not _is_time(row["starts_at"])] == [
        _fault("impossible-date")
    ]


def test_exactly_one_session_starts_in_another_century_and_where_told() -> None:
    far = [Place("tables/sessions.csv", n) for n, row in _sessions().items() if row["starts_at"] > "2027"]
    assert far == [_fault("implausible-date")]


def test_exactly_one_event_came_twice_and_where_told() -> None:
    events, _ = _events()
    first: dict[str, tuple[Place, dict[str, Any]]] = {}
    again = []
    for place, event in events:
        kept_place, kept = first.setdefault(event["id"], (place, event))
        if kept_place != place:
            again.append((place, kept_place, kept == event))
    assert again == [(_fault("duplicate"), Place("live/shard-0.jsonl", 29), True)]


def test_exactly_one_line_is_cut_off_and_where_told_and_its_event_comes_whole_next() -> None:
    _, refused = _events()
    assert refused == [_fault("cut-off")]
    lines = SHARDS[0].read_text("utf-8").splitlines()
    assert lines[refused[0].line].startswith(lines[refused[0].line - 1])


def test_three_events_come_after_a_newer_one_of_their_note() -> None:
    late, newest = [], dict[str, str]()
    for place, event in _events()[0]:
        path = event["detail"].get("path")
        if event["detail-type"] == "note.updated" and place != _fault("duplicate"):
            if event["time"] < newest.get(path, ""):
                late.append(f"`{place.file}:{place.line}`")
            newest[path] = max(event["time"], newest.get(path, ""))
    assert len(late) == 3
    assert ", ".join(late) in (SAMPLE / "README.md").read_text("utf-8")


# What holds it together


def test_the_live_notes_tell_a_consistent_story() -> None:
    living = set[str]()
    for event in _told_in_order():
        kind, path = event["detail-type"], event["detail"].get("path")
        if kind == "note.created":
            assert path not in living
            living.add(path)
        elif kind == "note.moved":
            living.remove(event["detail"]["from"])
            living.add(path)
        elif kind.startswith("note."):
            assert path in living, event
        if kind == "note.deleted":
            living.remove(path)
    assert len(living) == _told("live_notes")[-1]


def test_sessions_are_called_the_same_in_vault_programme_and_stream() -> None:
    programme = {row["session_id"] for row in _sessions().values()}
    broken = _broken_front_matter()
    vault = {_front_matter(text).get("session") for path, text in _notes().items() if path not in broken} - {None}
    stream = {event["detail"].get("session") for event in _told_in_order()} - {None}
    assert vault <= programme
    assert stream <= programme
    assert vault <= stream


def test_a_live_note_has_the_title_of_its_session() -> None:
    titles = {row["session_id"]: row["title"] for row in _sessions().values()}
    named = [event["detail"] for event in _told_in_order() if {"session", "title"} <= event["detail"].keys()]
    assert [detail for detail in named if detail["title"] != titles[detail["session"]]] == []


def test_every_session_has_a_known_speaker_and_a_room_of_its_own() -> None:
    rows = [row for row in _sessions().values() if _is_time(row["starts_at"])]
    assert {row["speaker"] for row in rows} <= {speaker["name"] for speaker in _speakers()}
    assert max(Counter((row["room"], row["starts_at"]) for row in rows).values()) == 1
    assert max(Counter((row["speaker"], row["starts_at"]) for row in rows).values()) == 1


def test_people_in_the_vault_wear_the_badge_of_the_programme() -> None:
    badges = {row["speaker"]: row["badge_code"] for row in _sessions().values()}
    people = [_front_matter(text) for path, text in _notes().items() if path.startswith("people/")]
    assert [person["badge_code"] for person in people] == [badges[person["title"]] for person in people]


def test_duckdb_reads_the_tables_as_the_csv_module_does() -> None:
    columns = "session_id, abstract, badge_code"
    rows = duckdb.execute(f"SELECT {columns} FROM read_csv(?) ORDER BY session_id", [str(SESSIONS)]).fetchall()
    assert rows == [(row["session_id"], row["abstract"], row["badge_code"]) for row in _sessions().values()]
    assert any("\n" in abstract and code.startswith("0") for _, abstract, code in rows)


def test_the_picture_is_a_whole_png() -> None:
    data = (VAULT / "attachments" / "room-load.png").read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", data[16:24]) == (160, 80)
    assert struct.unpack(">I", data[29:33])[0] == zlib.crc32(data[12:29])


# The declarations


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("conference_vault", DocumentSource),
        ("sessions", TableSource),
        ("speakers", TableSource),
        ("live_notes", StreamSource),
    ],
)
def test_the_declaration_loads_and_its_path_is_there(name: str, kind: type[Source]) -> None:
    folder = ROOT / "dagster_project" / "defs" / "sources"
    source = {source.name: source for source in declared_sources(folder, ROOT)}[name]
    assert isinstance(source, kind)
    assert Path(source.path).exists()
    assert source.description
    assert source.owners
    assert (folder / name / "defs.yaml").is_file()


def test_the_mapping_of_the_sessions_names_their_own_columns() -> None:
    sources = declared_sources(ROOT / "dagster_project" / "defs" / "sources", ROOT)
    mapping = next(source.note for source in sources if source.name == "sessions" and isinstance(source, TableSource))
    assert mapping == NoteMapping(
        key=("session_id",), title="title", body="abstract", author="speaker", created_at="starts_at",
        modified_at="updated_at", tags="tags",
    )  # fmt: skip
    columns = next(iter(_sessions().values())).keys()
    assert {*mapping.key, *(value for field, value in mapping if field != "key")} <= columns
