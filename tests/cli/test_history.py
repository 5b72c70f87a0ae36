"""`notelake diff` and `notelake restore`: what changed, and a note written back as the file it was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main

FIRST = b"\xef\xbb\xbf---\r\ntags: [a]\r\n---\r\n# Lake\r\n\r\nsh\xc3\xbcallow\r\n"
SECOND = FIRST.replace(b"sh\xc3\xbcallow", b"deep") + b"no newline"
NAME = b"caf\xe9/l\xffake.md"


def notelake(*words: str) -> Result:
    return CliRunner().invoke(main, list(words), catch_exceptions=False)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a vault that was changed twice; what it holds now is to be changed by no test."""
    root = tmp_path_factory.mktemp("project")
    (root / "dagster_project" / "defs" / "sources" / "vault").mkdir(parents=True)
    (root / "dagster_project" / "defs" / "sources" / "vault" / "defs.yaml").write_text(
        "type: dagster_project.components.DocumentSource\nattributes: {name: vault, path: notes, max_gone_share: 1}\n",
        "utf-8",
    )
    vault = root / "notes"
    (vault / "ideas").mkdir(parents=True)
    (vault / "ideas" / "lake.md").write_bytes(FIRST)
    for name in ("x/same.md", "y/same.md", "stays.md"):
        (vault / name).parent.mkdir(exist_ok=True)
        (vault / name).write_text("# Same\n", "utf-8")
    os.makedirs(os.path.dirname(os.fsencode(vault) + b"/" + NAME))
    with open(os.fsencode(vault) + b"/" + NAME, "wb") as file:
        file.write(b"bytes in its name\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOTELAKE_PROJECT", str(root))
        assert notelake("run").exit_code == 0
        (vault / "ideas" / "lake.md").write_bytes(SECOND)
        assert notelake("run").exit_code == 0
        (vault / "ideas" / "lake.md").unlink()
        (vault / "ideas").rmdir()
        os.unlink(os.fsencode(vault) + b"/" + NAME)
        assert notelake("run").exit_code == 0
    return root


@pytest.fixture
def vault(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The vault's folder, for each test anew, on the one lake."""
    root = tmp_path / "project"
    sources = root / "dagster_project" / "defs" / "sources" / "vault"
    sources.mkdir(parents=True)
    declared = (kept / "dagster_project" / "defs" / "sources" / "vault" / "defs.yaml").read_text("utf-8")
    (sources / "defs.yaml").write_text(declared, "utf-8")
    (root / "notes").mkdir()
    (root / "notes" / "stays.md").write_text("# Same\n", "utf-8")
    monkeypatch.setenv("NOTELAKE_PROJECT", str(root))
    monkeypatch.setenv("NOTELAKE_LAKE", str(kept / "data" / "lake"))
    return root / "notes"


def test_a_deleted_note_comes_back_byte_for_byte_to_where_it_lay(vault: Path) -> None:
    done = notelake("restore", "ideas/lake.md")
    assert done.exit_code == 0, done.output
    assert (vault / "ideas" / "lake.md").read_bytes() == SECOND


def test_an_older_version_is_chosen_by_number_or_by_time(vault: Path, kept: Path, tmp_path: Path) -> None:
    assert notelake("restore", "Lake", "--version", "1", "--to", str(tmp_path / "one")).exit_code == 0
    assert (tmp_path / "one").read_bytes() == FIRST
    with duckdb.connect(str(kept / "data" / "lake" / "lake.duckdb"), read_only=True) as con:
        query = (
            "SELECT valid_to - INTERVAL 1 MICROSECOND FROM notes.versions WHERE path = 'ideas/lake.md' AND version = 1"
        )
        (before,) = con.execute(f"SELECT strftime(({query}) AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%f')").fetchone()
    shown = notelake("restore", "vault/ideas/lake.md", "--at", before, "--stdout")
    assert shown.stdout_bytes == FIRST
    assert notelake("restore", "Lake", "--at", "1999-01-01", "--stdout").exit_code == 2


def test_a_name_that_is_no_text_comes_back_as_the_bytes_it_was(vault: Path) -> None:
    with duckdb.connect(f"{os.environ['NOTELAKE_LAKE']}/lake.duckdb", read_only=True) as con:
        (note_id,) = con.execute("SELECT DISTINCT note_id FROM notes.versions WHERE path LIKE 'caf%'").fetchone()
    assert notelake("restore", note_id).exit_code == 0
    with open(os.fsencode(vault) + b"/" + NAME, "rb") as file:
        assert file.read() == b"bytes in its name\n"


def test_nothing_is_overwritten_without_force(vault: Path) -> None:
    (vault / "stays.md").write_text("mine", "utf-8")
    refused = notelake("restore", "stays.md")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert (vault / "stays.md").read_text("utf-8") == "mine"
    assert notelake("restore", "stays.md", "--force").exit_code == 0
    assert (vault / "stays.md").read_text("utf-8") == "# Same\n"
    assert sorted(path.name for path in vault.iterdir()) == ["stays.md"]


def a_link_out(vault: Path, outside: Path) -> None:
    (vault / "ideas").symlink_to(outside)


def a_link_at_the_file(vault: Path, outside: Path) -> None:
    (vault / "ideas").mkdir()
    (vault / "ideas" / "lake.md").symlink_to(outside / "lake.md")


@pytest.mark.parametrize("lay", [a_link_out, a_link_at_the_file])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_no_link_leads_a_restored_file_out_of_its_source(
    vault: Path, tmp_path: Path, lay: Callable[[Path, Path], None], force: list[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    lay(vault, outside)
    done = notelake("restore", "ideas/lake.md", *force)
    assert list(outside.iterdir()) == []
    if force and lay is a_link_at_the_file:
        assert done.exit_code == 0 and not (vault / "ideas" / "lake.md").is_symlink()
    else:
        assert done.exit_code == 2


def test_a_name_of_several_notes_lists_them_and_an_unknown_one_says_so(vault: Path) -> None:
    several = notelake("restore", "Same", "--stdout")
    assert several.exit_code == 2
    assert "vault/x/same.md" in several.stderr and "vault/y/same.md" in several.stderr
    assert notelake("restore", "nothing like it").exit_code == 2
    assert notelake("restore", "stays.md", "--stdout", "--to", "x").exit_code == 2


def test_a_source_that_is_not_declared_asks_where_to(
    vault: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTELAKE_PROJECT", str(tmp_path / "elsewhere"))
    refused = notelake("restore", "ideas/lake.md")
    assert refused.exit_code == 2
    assert "--to" in refused.stderr


def test_a_diff_is_one_that_patch_applies(vault: Path, tmp_path: Path) -> None:
    shown = notelake("diff", "ideas/lake.md")
    assert shown.exit_code == 0
    assert "-shüallow" in shown.stdout and "+deep" in shown.stdout
    assert "version 1" in shown.stdout.splitlines()[0]
    (tmp_path / "a").write_bytes(FIRST.removeprefix(b"\xef\xbb\xbf"))
    command = ["patch", "--binary", "--quiet", str(tmp_path / "a")]
    try:
        subprocess.run(command, input=shown.stdout_bytes, check=True, timeout=60)
    except FileNotFoundError:
        pytest.skip("there is no patch on this machine")
    assert (tmp_path / "a").read_bytes() == SECOND.removeprefix(b"\xef\xbb\xbf")


def test_a_diff_takes_two_versions_in_any_order_and_says_when_there_is_none_before(vault: Path) -> None:
    assert "+shüallow" in notelake("diff", "Lake", "2", "1").stdout
    assert "same text" in notelake("diff", "Lake", "1", "1").stderr
    assert notelake("diff", "Lake", "9").exit_code == 2
    first = notelake("diff", "stays.md")
    assert first.exit_code == 2
    assert "is its first" in first.stderr
