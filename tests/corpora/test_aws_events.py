"""Events as AWS' services send them: each comes in, or is a dead letter that says why.

What belongs here: `../shared/corpora/aws_events`, a file an event, posted to the collector and landed. Skips, and says
so, where the corpora are not on the machine.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from dagster_project.lake.lake import Lake
from dagster_project.landing.collector import posted
from dagster_project.landing.collector.refused import Refused
from dagster_project.landing.emit import Log, completed, line
from dagster_project.pipeline import run
from dagster_project.settings import Settings
from dagster_project.sources import EventMapping, StreamSource

MAPPING = EventMapping(
    event_id=(
        "Records.0.eventID",
        "Records.0.messageId",
        "Records.0.Sns.MessageId",
        "Records.0.ses.mail.messageId",
        "id",
    ),
    type=("Records.0.eventName", "Records.0.eventSource", "Records.0.EventSource", "deliveryStreamArn", "type"),
    occurred_at=(
        "Records.0.eventTime",
        "Records.0.Sns.Timestamp",
        "Records.0.ses.mail.timestamp",
        "Records.0.dynamodb.ApproximateCreationDateTime",
        "Records.0.kinesis.approximateArrivalTimestamp",
        "Records.0.attributes.SentTimestamp",
        "records.0.approximateArrivalTimestamp",
        "time",
    ),
)
CUT = "dynamodb-event-malformed.2.json"


def test_each_file_of_aws_comes_in_or_is_a_dead_letter_with_its_reason(
    corpora: Path, lake: Lake, where: Settings, tmp_path: Path
) -> None:
    files = sorted((corpora / "aws_events").glob("*.json"))
    refused = {}
    with Log(tmp_path / "live", "aws", fsync="never") as log:
        for file in files:
            try:
                (event,) = posted.read({"content-type": "application/json"}, file.read_bytes())
                log.append(line(completed(event, new_id=lambda name=file.name: name, now=datetime.now(UTC))))
            except Refused as refusal:
                refused[file.name] = refusal.fact
                log.append(b" ".join(file.read_bytes().splitlines()) + b"\n")  # by who does not ask
    assert list(refused) == [CUT]
    assert "The body is no JSON: Expecting ',' delimiter: line 135" in refused[CUT]

    (report,) = run(lake, [StreamSource(name="aws", path=str(tmp_path / "live"), event=MAPPING)]).reports
    assert report.error is None
    assert report.counts.is_balanced
    with duckdb.connect(str(where.view_file), read_only=True) as con:
        came = dict(con.execute("SELECT line, payload FROM raw.aws").fetchall())
        events = con.execute("SELECT e.type, r.line FROM notes.events e JOIN raw.aws r USING (event_id)").fetchall()
        dead = dict(con.execute("SELECT line, rule || ': ' || reason FROM ops.quarantine").fetchall())
    assert {number: _read(payload) for number, payload in came.items()} == {
        number: _read(file.read_text()) for number, file in enumerate(files, start=1)
    }
    taken = {files[number - 1].name: type_ for type_, number in events}
    assert {files[number - 1].name: reason.partition(":")[0] for number, reason in dead.items()} == {
        file.name: "json" if file.name == CUT else "type" for file in files if file.name not in taken
    }
    assert len(taken) + len(dead) == len(files) == 19
    assert {type_.partition(":")[0] for type_ in taken.values()} == {"INSERT", "aws", "s3"}
    assert len(taken) == 10


def _read(payload: str) -> Any:
    """Return what a payload says, without what the collector gave it; what is no JSON as its words."""
    try:
        event = json.loads(payload)
    except ValueError:
        return payload.split()
    return {name: value for name, value in event.items() if name not in ("id", "time")}
