"""Events once more, from raw: those that are meant, each once, however often it is done."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime

import pytest

from dagster_project.errors import UsageError
from dagster_project.landing.segments import segment_name
from dagster_project.model.pattern import matches, read_pattern
from dagster_project.pipeline import land
from dagster_project.replay import Replay, replay_into, replay_to
from dagster_project.reports import quiet
from dagster_project.sources import StreamSource

EVENT = {"type": "note.moved", "detail": {"path": "a/b.md", "size": 7, "is_new": True, "tags": ["x", "y"], "by": None}}


@pytest.mark.parametrize(
    ("pattern", "fits"),
    [
        ('{"type": ["note.created", "note.moved"]}', True),
        ('{"type": ["note.created"]}', False),
        ('{"detail": {"path": [{"prefix": "a/"}], "tags": ["y"]}}', True),
        ('{"detail": {"path": [{"suffix": ".MD"}]}}', False),
        ('{"detail": {"path": [{"equals-ignore-case": "A/B.MD"}]}}', True),
        ('{"detail": {"size": [{"numeric": [">", 5, "<=", 7]}]}}', True),
        ('{"detail": {"is_new": [1]}}', False),
        ('{"detail": {"by": [null]}}', True),
        ('{"detail": {"no": [null]}}', False),
        ('{"detail": {"no": [{"exists": false}]}, "no": {"a": [{"exists": false}]}}', True),
        ('{"detail": {"path": [{"anything-but": {"prefix": "b/"}}]}}', True),
        ('{"type": [{"anything-but": ["note.moved"]}]}', False),
        ('{"no": [{"anything-but": ["x"]}]}', False),
    ],
)
def test_patterns_mean_what_eventbridge_says(pattern: str, fits: bool) -> None:
    assert matches(read_pattern(pattern), EVENT) is fits


@pytest.mark.parametrize(
    "pattern",
    ["{", "[]", "{}", '{"a": "b"}', '{"a": []}', '{"a": [{"wildcard": "*"}]}', '{"a": [{"numeric": ["!", 1]}]}'],
)
def test_a_pattern_that_is_none_is_refused(pattern: str) -> None:
    with pytest.raises(UsageError):
        read_pattern(pattern)


def test_a_replay_writes_each_event_once_and_later_only_what_is_new(world, fresh_lake, tmp_path) -> None:
    source, log = StreamSource(name="live", path=str(world.stream)), tmp_path / "log"
    lake = fresh_lake(tmp_path / "lake")
    world.lines('{"id": "cut')
    world.lines('{"id": "e1", "type": "note.created", "time": "2026-05-14T09:00:01Z"}')  # sent again
    land(lake, source, observe=quiet)
    since = Replay("live", pattern={"id": [{"prefix": "e"}]})
    assert (replay_into(lake, since, log).written, replay_into(lake, since, log).written) == (2, 0)
    file = log / segment_name(since.shard, 0)
    file.write_bytes(file.read_bytes()[:-9])  # a kill left half of the line
    world.event("note.updated", "n1")
    land(lake, source, observe=quiet)
    done = replay_into(lake, since, log)
    assert (done.events, done.written) == (3, 2)
    out = io.BytesIO()
    replay_to(lake, since, out)
    assert out.getvalue() == file.read_bytes()
    assert sorted(json.loads(line)["id"] for line in out.getvalue().splitlines()) == ["e1", "e2", "e3"]
    file.write_bytes(b"{}\n")
    with pytest.raises(UsageError, match="other lines"):
        replay_into(lake, since, log)
    with pytest.raises(UsageError, match="There are: live"):
        replay_to(lake, Replay("vault"), out)


def test_a_span_that_holds_no_instant_is_refused_and_not_taken_for_no_events() -> None:
    first, later = datetime(2026, 5, 14, tzinfo=UTC), datetime(2026, 5, 15, tzinfo=UTC)
    with pytest.raises(UsageError, match="Exchange --from and --to"):
        Replay("live", later, first)
    Replay("live", first, later)
