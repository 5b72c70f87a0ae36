"""What is listed of a source: what is left out, where links lead, and that nothing lies outside."""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import fsspec
import pytest
from pydantic import ValidationError

from dagster_project.landing.files import CLIMBS_OUT, LEADS_OUT, LocalFiles, RemoteFiles, files_of
from dagster_project.landing.ignored import Ignored
from dagster_project.sources import IGNORED, DocumentSource


def listed(root: Path, **fields: object) -> dict[str, str | None]:
    """Every path that is listed, with why it cannot be read."""
    files, problems = files_of(DocumentSource(name="vault", path=str(root), **fields)).listing()
    assert problems == []
    return {file.path: file.error for file in files}


def write(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path, "utf-8")


USUAL = (
    ".obsidian/app.json",
    ".trash/old.md",
    ".git/HEAD",
    ".DS_Store",
    "logseq/bak/pages/a/1.md",
    "logseq/.recycle/a.md",
    "graph/logseq/bak/1.md",
    "node_modules/x/README.md",
    "sub/__pycache__/x.pyc",
    "~$report.docx",
    "a.md~",
    "#a.md#",
    ".#a.md",
    ".a.md.swp",
    "a.tmp",
    "Thumbs.db",
    "$RECYCLE.BIN/x.md",
)


def test_what_programs_leave_behind_and_what_is_hidden_is_left_out_without_a_word(tmp_path: Path) -> None:
    write(tmp_path, *USUAL, "a.md", "logseq/config.edn", "bak/b.md")
    assert list(listed(tmp_path)) == ["a.md", "bak/b.md", "logseq/config.edn"]


def test_exclude_adds_to_what_is_left_out_anyway(tmp_path: Path) -> None:
    write(tmp_path, ".obsidian/app.json", "a.md", "drafts/d.md", "sub/drafts/e.md", "sub/x.log", "drafts.md")
    assert list(listed(tmp_path, exclude=("/drafts/", "*.log"))) == ["a.md", "drafts.md", "sub/drafts/e.md"]


def test_a_mark_takes_back_in_but_nothing_below_a_folder_that_stays_out(tmp_path: Path) -> None:
    write(tmp_path, ".github/README.md", ".obsidian/keep.md", "old/keep.md", "old/drop.md", "x/drop.md")
    kept = listed(tmp_path, exclude=("!.github/", "!.obsidian/keep.md", "old/*", "!old/keep.md", "x/", "!x/drop.md"))
    assert list(kept) == [".github/README.md", "old/keep.md"]


PATHS = (
    "a.md",
    "b.txt",
    ".hidden/a.md",
    ".github/a.md",
    "drafts/a.md",
    "drafts/keep.md",
    "sub/drafts/deep/a.md",
    "sub/a.log",
    "sub/b[1].md",
    "sub/ä ö.md",
    "x/y/z/a.md",
    "x/keep/a.md",
    "#note#",
    "!bang.md",
)


@pytest.mark.parametrize(
    "patterns",
    [
        (),
        ("*.md",),
        ("*.md", "!keep.md"),
        ("drafts/",),
        ("/drafts",),
        ("drafts/*", "!drafts/keep.md"),
        ("drafts/", "!drafts/keep.md"),
        ("**/deep/**",),
        ("x/**", "!x/keep/", "!x/keep/**"),
        ("sub/*.log", "# a comment", "", "\\!bang.md"),
        ("b\\[1\\].md", "*ö.md"),
        ("!.github/", "!.github/**"),
        ("*", "!*/", "!*.txt"),
        ("a.md/",),
    ],
)
@pytest.mark.skipif(shutil.which("git") is None, reason="git is the oracle here")
def test_what_is_left_out_is_what_git_ignores(tmp_path: Path, patterns: tuple[str, ...]) -> None:
    write(tmp_path, *PATHS)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".git" / "info" / "exclude").write_text("\n".join((*IGNORED, *patterns)), "utf-8")
    said = subprocess.run(
        ["git", "-C", str(tmp_path), "ls-files", "-z", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    )
    assert set(listed(tmp_path, exclude=patterns)) == set(said.stdout.decode().split("\0")) - {""}
    ignored = Ignored(include=("*",), exclude=(*IGNORED, *patterns))  # as an object store asks: file by file
    assert {path for path in PATHS if not ignored.file(path)} == set(listed(tmp_path, exclude=patterns))


def test_a_line_s_end_in_a_name_hides_nothing_from_the_patterns(tmp_path: Path) -> None:
    write(tmp_path, "a\nb/.obsidian/x.md", "a\nb/c.md", "d.tmp\n")
    assert list(listed(tmp_path)) == ["a\nb/c.md", "d.tmp\n"]


@pytest.mark.parametrize("pattern", ["!", "a\\"])
def test_a_pattern_that_is_none_is_refused_where_it_is_declared(pattern: str) -> None:
    with pytest.raises(ValidationError, match="gitignore"):
        DocumentSource(name="vault", path="x", exclude=(pattern,))


def test_links_are_read_inside_and_never_lead_out(tmp_path: Path) -> None:
    vault, outside = tmp_path / "vault", tmp_path / "outside"
    write(vault, "a.md", "sub/b.md")
    write(outside, "secret.md")
    for link, to in {
        "inside.md": vault / "a.md",
        "out.md": outside / "secret.md",
        "climbs.md": Path("../outside/secret.md"),
        "outside": outside,
        "again": vault / "sub",
        "sub/loop": vault,
        "sub/self": Path("self"),
        "broken.md": vault / "nowhere.md",
    }.items():
        (vault / link).symlink_to(to)
    assert listed(vault) == {
        "a.md": None,
        "broken.md": "No such file or directory",
        "climbs.md": LEADS_OUT,
        "inside.md": None,
        "out.md": LEADS_OUT,
        "outside": LEADS_OUT,
        "sub/b.md": None,
        "sub/self": "Too many levels of symbolic links",
    }
    assert listed(vault, include=("*.md",))["outside"] == LEADS_OUT
    assert "outside" not in listed(vault, exclude=("outside/",))


def test_a_file_that_became_a_link_after_the_listing_is_not_followed(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    write(vault, "a.md")
    write(tmp_path, "secret.md")
    files = files_of(DocumentSource(name="vault", path=str(vault)))
    (file,) = files.listing()[0]
    (vault / "a.md").unlink()
    (vault / "a.md").symlink_to(tmp_path / "secret.md")
    with pytest.raises(OSError, match="symbolic link"):
        files.read(file)


def test_a_source_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "vault", "a.md")
    (tmp_path / "link").symlink_to(tmp_path / "vault")
    assert listed(tmp_path / "link") == {"a.md": None}
    assert isinstance(files_of(DocumentSource(name="vault", path=str(tmp_path / "link"))), LocalFiles)


def test_what_is_no_regular_file_is_told_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.md")
    assert listed(tmp_path) == {"pipe.md": "not a regular file"}


class Store:
    """As much of a store's file system as a listing needs; a local one would not keep such keys."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def invalidate_cache(self) -> None: ...

    def find(self, prefix: str, *, detail: bool) -> dict[str, dict]:
        assert detail
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return {f"{prefix}/{key}": {"type": "file", "size": 1, "ETag": "e", "LastModified": at} for key in self.keys}


def test_a_key_that_climbs_out_is_told_and_not_read() -> None:
    source = DocumentSource(name="vault", path="s3://bucket/notes")
    store = Store("a.md", "../b.md", "sub/../../c.md", "/d.md", ".trash/e.md", "sub/..f/g..md")
    files, _ = RemoteFiles(source, store).listing()
    assert {file.path: file.error for file in files} == {
        "../b.md": CLIMBS_OUT,
        "/d.md": CLIMBS_OUT,
        "a.md": None,
        "sub/../../c.md": CLIMBS_OUT,
    }


def test_a_store_leaves_out_what_a_folder_would() -> None:
    memory = fsspec.filesystem("memory")
    for path in ("notes/a.md", "notes/x/drop.md", "notes/.obsidian/app.json", "notes/.github/b.md"):
        memory.pipe_file(f"/{path}", b"x")
    source = DocumentSource(name="vault", path="memory:///notes", exclude=("x/", "!x/drop.md", "!.github/"))
    files, _ = RemoteFiles(source).listing()
    assert [file.path for file in files] == [".github/b.md", "a.md"]
    memory.rm("/notes", recursive=True)
