"""`notelake events redrive`: a dead letter that is an event by the mapping of today comes in, once."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest
from click.testing import CliRunner, Result

from dagster_project.cli import main

DECLARED = """
type: dagster_project.components.StreamSource
attributes:
  name: live
  path: {log}
"""
GOOD = {"id": "e1", "detail-type": "note.created", "time": "2026-05-14T09:00:00Z", "detail": {"path": "a"}}
ODD = {"id": "e2", "what": "note.created", "time": "2026-05-14T09:01:00Z", "detail": {"path": "b"}}


@pytest.mark.slow
def test_a_malformed_event_comes_in_once_after_the_mapping_was_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, lake, project = tmp_path / "log", tmp_path / "lake", tmp_path / "project"
    declaration = project / "dagster_project" / "defs" / "sources" / "live" / "defs.yaml"
    for folder in (log, declaration.parent):
        folder.mkdir(parents=True)
    monkeypatch.setenv("NOTELAKE_PROJECT", str(project))
    (log / "a.jsonl").write_bytes(b"".join(json.dumps(each).encode() + b"\n" for each in (GOOD, ODD)) + b'{"cut\xff\n')
    declaration.write_text(DECLARED.format(log=log))

    def notelake(*words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--lake", str(lake)])

    def asked(query: str) -> list[tuple[object, ...]]:
        with duckdb.connect(str(lake / "lake.duckdb"), read_only=True) as con:
            return con.execute(query).fetchall()

    assert notelake("run").exit_code == 3
    dead = "SELECT file, rule, key, released_at IS NOT NULL FROM ops.quarantine ORDER BY line, sequence"
    assert asked(dead) == [("a", "type", "e2", False), ("a", "encoding", None, False)]
    again = notelake("events", "redrive", "live")
    assert (again.exit_code, again.stdout) == (3, "live: 0 let through, 2 refused again.\n"), again.output
    declaration.write_text(DECLARED.format(log=log) + "  event:\n    type: [detail-type, what]\n")
    mended = notelake("events", "redrive")
    assert (mended.exit_code, mended.stdout) == (3, "live: 1 let through, 1 refused again.\n"), mended.output
    assert notelake("events", "redrive", "live", "e2").exit_code == 2  # it is decided
    with (log / "a.jsonl").open("a") as file:
        file.write(json.dumps(ODD) + "\n")  # and sent once more
    notelake("run")
    assert asked("SELECT event_id, sequence FROM notes.events ORDER BY 1") == [("e1", 1), ("e2", 2)]
    assert asked("SELECT sum(seen), sum(committed), sum(duplicate), sum(quarantined) FROM ops.ledger") == [(4, 2, 1, 1)]
    assert asked("SELECT count(*) FROM notes.notes") == [(2,)]
    other = notelake("events", "redrive", "nobody")
    assert other.exit_code == 2 and "no source called nobody" in other.output
