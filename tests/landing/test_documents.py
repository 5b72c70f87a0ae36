"""What a look at a folder concludes: new, changed, moved, gone, unreadable, and nothing in silence."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.errors import SourceUnavailable, TooManyGone
from dagster_project.landing.documents import Known, StatCache, arrivals, files_of, refusal, scan
from dagster_project.landing.files import LocalFiles
from dagster_project.shaping import media_type
from dagster_project.sources import DocumentSource

NOW = datetime(2026, 5, 14, tzinfo=UTC)


class Folder:
    """A folder and what raw would know of it after each look."""

    def __init__(self, root: Path, **fields: object) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root
        self.source = DocumentSource(name="vault", path=str(root), **{"max_gone_share": 1, **fields})
        self.known: dict[str, Known] = {}
        self.held: dict[str, bytes] = {}
        self.cache = root.parent / "stat.txt"

    def write(self, path: str | bytes, content: bytes = b"x") -> None:
        file = os.path.join(os.fsencode(self.root), os.fsencode(path))
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as stream:
            stream.write(content)

    def contents(self, paths: Sequence[str]) -> dict[str, bytes]:
        return {path: self.held[path] for path in paths}

    def lines_elsewhere(self, lines: frozenset[bytes], *, but: Sequence[str]) -> frozenset[bytes]:
        others = [content for path, content in self.held.items() if path in self.known and path not in but]
        return lines & {line.strip() for content in others for line in content.splitlines()}

    def look(self, *, allow_gone: bool = False, again: Collection[str] = ()) -> list[dict]:
        files, cache = files_of(self.source), StatCache.load(self.cache)
        self.last = scan(files, known=self.known, cache=cache, media_type=media_type, texts=self, again=again)
        if not allow_gone and (refused := refusal(self.source, self.last)):
            raise refused
        batches = arrivals(
            self.last, files, media_type=media_type, cache=cache, first_sequence=1, scan_id="s", observed_at=NOW
        )
        rows = [row for batch in batches for row in batch.to_pylist()]
        for row in rows:
            self.known.pop(row["moved_from"] or "", None)
            if row["op"] == "gone":
                self.known.pop(row["path"])
            else:
                self.known[row["path"]] = Known(row["op"], row["sha256"], row["size"], row["error"])
                self.held[row["path"]] = row["content"] or b""
        cache.save(self.known)
        return rows

    def ops(self) -> list[tuple]:
        return [(row["op"], row["path"], *([row["moved_from"]] if row["moved_from"] else [])) for row in self.look()]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "vault")


def test_what_lands_is_the_bytes_with_their_hash(folder: Folder) -> None:
    folder.write("a/b.md", b"caf\xe9")
    row = folder.look()[0]
    assert (row["op"], row["path"], row["content"], row["media_type"]) == ("put", "a/b.md", b"caf\xe9", "text/markdown")
    assert row["sha256"] == hashlib.sha256(b"caf\xe9").hexdigest()
    assert (row["size"], row["sequence"]) == (4, 1)


def test_a_touched_but_equal_file_is_no_arrival(folder: Folder) -> None:
    folder.write("a.md")
    folder.look()
    os.utime(folder.root / "a.md", (1, 1))
    assert folder.ops() == []
    assert folder.last.unchanged == 1


def test_a_change_within_the_same_second_and_size_is_seen(folder: Folder) -> None:
    folder.write("a.md", b"one")
    folder.look()
    stamp = os.stat(folder.root / "a.md")
    folder.write("a.md", b"two")
    os.utime(folder.root / "a.md", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert folder.ops() == [("put", "a.md")]


def test_without_its_cache_it_concludes_the_same(folder: Folder) -> None:
    folder.write("a.md")
    folder.look()
    folder.cache.unlink(missing_ok=True)
    assert folder.ops() == []
    for broken in ("{broken", "notelake stat cache 2\0a.md\0", "notelake stat cache 2\0a.md\0x\0y", "\0\0\0\0"):
        folder.cache.write_text(broken)
        assert folder.ops() == []
    folder.cache.write_bytes(b"\xff")
    assert folder.ops() == []


def test_a_file_asked_for_again_arrives_though_it_is_as_it_was(folder: Folder) -> None:
    folder.write("a.md")
    folder.write("b.md")
    folder.look()
    assert [row["path"] for row in folder.look(again=["b.md", "gone.md"])] == ["b.md"]


def test_equal_files_that_move_at_once_are_paired_in_path_order(folder: Folder) -> None:
    for name in ("a", "b"):
        folder.write(f"{name}.md", b"same")
    folder.look()
    for name in ("a", "b"):
        (folder.root / f"{name}.md").rename(folder.root / f"{name}2.md")
    assert folder.ops() == [("move", "a2.md", "a.md"), ("move", "b2.md", "b.md")]


def test_empty_files_are_never_a_move(folder: Folder) -> None:
    folder.write("a.md", b"")
    folder.look()
    (folder.root / "a.md").rename(folder.root / "b.md")
    assert folder.ops() == [("gone", "a.md"), ("put", "b.md")]


def test_a_copy_is_no_move(folder: Folder) -> None:
    folder.write("a.md")
    folder.look()
    folder.write("b.md")
    assert folder.ops() == [("put", "b.md")]


def test_names_that_are_no_utf8_or_differ_in_normal_form_only_are_files_of_their_own(folder: Folder) -> None:
    folder.write(b"caf\xe9.md", b"1")
    folder.write("cafe\u0301.md", b"2")
    folder.write("caf\u00e9.md", b"3")
    rows = folder.look()
    assert sorted(row["content"] for row in rows) == [b"1", b"2", b"3"]
    assert len({row["path"] for row in rows}) == 3
    assert {row["path_bytes"] for row in rows if row["content"] == b"1"} == {b"caf\xe9.md"}
    assert folder.ops() == []


def test_include_reads_only_what_it_names(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "vault", include=("*.md",))
    for path in ("a.md", "b.txt"):
        folder.write(path)
    assert folder.ops() == [("put", "a.md")]


def test_a_link_that_leads_outside_is_told_once_and_not_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (folder.root / "out.md").symlink_to(tmp_path / "secret.md")
    row = folder.look()[0]
    assert (row["op"], row["content"]) == ("unreadable", None)
    assert "leads out" in row["error"]
    assert folder.ops() == []


def test_what_is_newly_left_out_is_gone_and_told_and_guarded(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "vault", max_gone_share=0.3)
    for number in range(10):
        folder.write(f"{'drafts' if number < 4 else 'notes'}/{number}.md", bytes([number]))
    folder.look()
    folder.source = folder.source.model_copy(update={"exclude": ("drafts/",)})
    with pytest.raises(TooManyGone, match="4 of the 4 files that count as gone are now left out by include or exclude"):
        folder.look()
    rows = folder.look(allow_gone=True)
    assert [(row["op"], row["path"]) for row in rows] == [("gone", f"drafts/{number}.md") for number in range(4)]
    assert "4 of the 4" in folder.last.notices[0]
    folder.source = folder.source.model_copy(update={"exclude": ()})
    assert folder.ops() == [("put", f"drafts/{number}.md") for number in range(4)]


def test_a_touched_but_equal_file_costs_one_hash_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.md", "b.md"):
        folder.write(name)
        os.utime(folder.root / name, (1, 1))
    monkeypatch.setattr("dagster_project.landing.stat_cache.SETTLED_NS", 0)
    folder.look()
    read: list[str] = []
    of_disk = LocalFiles.read
    monkeypatch.setattr(LocalFiles, "read", lambda self, file: read.append(file.path) or of_disk(self, file))
    os.utime(folder.root / "a.md", (2, 2))
    assert (folder.ops(), read) == ([], ["a.md"])
    assert (folder.ops(), read) == ([], ["a.md"])


def test_a_file_that_is_too_large_is_told_and_not_read(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "vault", max_file_bytes=3)
    folder.write("big.md", b"four")
    row = folder.look()[0]
    assert row["op"] == "unreadable"
    assert "max_file_bytes" in row["error"]


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "vault")
    folder.write("a.md")
    folder.look()
    (tmp_path / "vault").rename(tmp_path / "away")
    with pytest.raises(SourceUnavailable, match="Nothing counts as gone"):
        folder.look()


def test_a_folder_that_cannot_be_listed_hides_no_deletion_and_makes_none(folder: Folder, monkeypatch) -> None:
    folder.write("sub/a.md")
    folder.write("b.md")
    folder.look()
    listed = os.scandir

    def refuse(path: bytes) -> object:
        if path.endswith(b"sub"):
            raise PermissionError(13, "Permission denied")  # root may list everything, so chmod would show nothing
        return listed(path)

    monkeypatch.setattr(os, "scandir", refuse)
    (folder.root / "b.md").unlink()
    assert folder.ops() == []
    assert folder.last.warnings == ("sub could not be listed: Permission denied",)


def test_too_many_gone_at_once_are_refused(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "vault", max_gone_share=0.3)
    for number in range(10):
        folder.write(f"{number}.md", bytes([number]))
    folder.look()
    for number in range(4):
        (folder.root / f"{number}.md").unlink()
    with pytest.raises(TooManyGone, match="4 of 10"):
        folder.look()
    assert len(folder.look(allow_gone=True)) == 4


def test_moving_many_is_not_losing_many(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "vault", max_gone_share=0.3)
    for number in range(10):
        folder.write(f"{number}.md", bytes([number, 1]))
    folder.look()
    (folder.root / "new").mkdir()
    for number in range(9):
        (folder.root / f"{number}.md").rename(folder.root / "new" / f"{number}.md")
    assert {op for op, *_ in folder.ops()} == {"move"}


def test_a_single_file_is_a_source_too(tmp_path: Path) -> None:
    (tmp_path / "one.md").write_text("x")
    (tmp_path / "two.md").write_text("x")
    folder = Folder(tmp_path / "other")
    folder.source = DocumentSource(name="one", path=str(tmp_path / "one.md"))
    assert folder.ops() == [("put", "one.md")]


STATES = st.dictionaries(st.sampled_from(["a.md", "b.md", "s/c.md", "s/d.md"]), st.sampled_from([b"1", b"2", b""]))


@given(st.lists(STATES, min_size=2, max_size=4))
def test_applying_what_was_found_gives_the_folder_as_it_is(
    tmp_path_factory: pytest.TempPathFactory, states: list
) -> None:
    folder = Folder(tmp_path_factory.mktemp("any") / "vault")
    here: dict[str, bytes] = {}
    for state in states:
        for path in set(here) - set(state):
            (folder.root / path).unlink()
        for path, content in state.items():
            folder.write(path, content)
        before = dict(here)
        for row in folder.look():
            if row["op"] == "move":
                assert here.pop(row["moved_from"]) == row["content"]  # these are too short for an edit to be told
                assert row["path"] not in before
            if row["op"] == "gone":
                here.pop(row["path"])
            else:
                here[row["path"]] = row["content"]
        assert here == state
        assert folder.last.seen == folder.last.unchanged + len(list(folder.last.steps))
