"""What a person decides about refused units without looking at them again: to give them up.

What belongs here: choosing refusals, and decisions written into `ops.quarantine`. What does not: refusing (`record`),
what became of a refusal (`refused`), letting units through (`release`), listing (`commands`).

A decision adds an instant and a reason to the row; it deletes nothing, neither there nor in raw. The ledger says what
became of the unit, and a note that was stale for want of a newer version is so no more: all in one commit, which is
planned again if another run was quicker. Only the data files that hold a row that changes are written anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from dagster_project.contracts import LEDGER, NOTES, QUARANTINE, Kind
from dagster_project.errors import CommitConflict, UsageError
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.replace import amended
from dagster_project.lake.staging import discard as drop_staged
from dagster_project.reports import Counts
from dagster_project.sql_words import literal
from dagster_project.steps.commit import retried
from dagster_project.steps.refused import IS_NOTE, kind_of, landed, ledger_moves, own, refusals


def discard(lake: Lake, source: str, *, why: str, rule: str | None = None, units: Sequence[str] = ()) -> int:
    """Give up the open refusals of `source`, of one `rule` and of `units` (unit or key) if given; return how many rows.

    What is named may also be superseded. Raises `UsageError` without a reason, or if one of `units` has no refusal
    that is undecided: then nothing is changed. `CommitConflict` after many attempts.
    """
    if not why.strip():
        raise UsageError("Nothing was discarded, for no reason was given. Say it with --why TEXT.")
    return retried(lambda: _discard_once(lake, source, why=why.strip(), rule=rule, units=units))


def standing(lake: Lake, source: str) -> Counts:
    """Return what became of all units of `source` that were ever new or changed, as the ledger tells it now."""
    pin = lake.pins([LEDGER.identifier])[LEDGER.identifier]
    terms = ("seen", "committed", "removed", "duplicate", "quarantined", "discarded", "failed")
    sums = ", ".join(f"coalesce(sum({term}), 0)::BIGINT" for term in terms)
    with lake.connect() as con:
        row = con.execute(f"SELECT {sums} FROM {own(lake, pin, source)} AS l").fetchone() or ()
    return Counts(**dict(zip(terms, row, strict=True)))


def choose(
    con: duckdb.DuckDBPyConnection,
    lake: Lake,
    pins: Mapping[str, Pin],
    source: str,
    *,
    rule: str | None = None,
    units: Sequence[str] = (),
) -> None:
    """Make in `con` the tables `undecided`, refusals that are open or superseded, and `chosen`, those that are meant.

    Meant are all, or those of `rule`, or of `units` (unit or key).
    """
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE undecided AS SELECT * EXCLUDE (payload) FROM {refusals(lake, pins, source)} "
        "WHERE state IN ('open', 'superseded')"
    )
    named = ", ".join(map(literal, units))
    meant = f"(unit IN ({named}) OR key IN ({named}))" if units else "true"
    told = f" AND rule = {literal(rule)}" if rule is not None else ""
    con.execute(f"CREATE OR REPLACE TEMP TABLE chosen AS SELECT * FROM undecided WHERE {meant}{told}")


def refuse_unknown(con: duckdb.DuckDBPyConnection, source: str, units: Sequence[str]) -> None:
    """Raise `UsageError` if one of `units` (unit or key) is not among the `undecided`."""
    known = {name for row in con.execute("SELECT unit, key FROM undecided").fetchall() for name in row}
    if unknown := [unit for unit in units if unit not in known]:
        raise UsageError(
            f"{source}: {', '.join(unknown)} is not in quarantine, or is decided already; nothing was changed. "
            f"`notelake quarantine list {source} --all --format csv` tells units and keys."
        )


def _discard_once(lake: Lake, source: str, *, why: str, rule: str | None, units: Sequence[str]) -> int:
    pins = lake.pins()
    kind = kind_of(landed(pins, source))
    with lake.connect() as con:
        choose(con, lake, pins, source, rule=rule, units=units)
        refuse_unknown(con, source, units)
        if not units:
            con.execute("DELETE FROM chosen WHERE state = 'superseded'")
        rows = count(con, "chosen")
        if not rows:
            return 0
        now = f"TIMESTAMPTZ {literal(lake.clock().isoformat())}"
        con.execute(
            "CREATE OR REPLACE TEMP TABLE refusal_changes AS SELECT DISTINCT batch_id, unit, rule, "
            f"{now} AS discarded_at, {literal(why)} AS discarded_why FROM chosen"
        )
        _given_up(con, kind)
        ledger_moves(lake, con, pins[LEDGER.identifier], source=source, kind=kind, into=["discarded"])
        _fresh_again(con, own(lake, pins[NOTES.identifier], source))
        changes = [
            _change(lake, con, pins[table.identifier], source, name)
            for table, name in ((QUARANTINE, "refusal_changes"), (LEDGER, "ledger_changes"), (NOTES, "note_changes"))
        ]
    try:
        commit(lake, changes, summary={"notelake.source": source, "notelake.decision": "discard"})
    except CommitConflict:
        drop_staged(lake, [file for change in changes for file in change.added])
        raise
    return rows


def _given_up(con: duckdb.DuckDBPyConnection, kind: Kind) -> None:
    """Make the table `discarded`: the units the ledger counts of which no refusal is left to be decided."""
    counted = f"NOT {IS_NOTE}" if kind == "stream" else "true"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE discarded AS SELECT file, sequence FROM chosen WHERE {counted} "
        "GROUP BY unit, file, sequence HAVING count(*) = (SELECT count(*) FROM undecided AS u "
        f"WHERE u.unit = chosen.unit AND u.sequence IS NOT DISTINCT FROM chosen.sequence AND {counted})"
    )


def _fresh_again(con: duckdb.DuckDBPyConnection, notes: str) -> None:
    """Make the table `note_changes`: the stale notes whose newer version was given up, and that wait for no other."""
    waiting = "SELECT unit FROM undecided WHERE state = 'open' EXCEPT ALL SELECT unit FROM chosen WHERE state = 'open'"
    settled = f"(SELECT unit FROM chosen WHERE state = 'open' AND unit NOT IN ({waiting}))"
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE note_changes AS SELECT note_id, false AS stale FROM {notes} AS n WHERE stale "
        f"AND (note_id IN {settled} OR file_id IN {settled}) AND note_id NOT IN ({waiting})"
    )


def _change(lake: Lake, con: duckdb.DuckDBPyConnection, pin: Pin, source: str, changes: str) -> Change:
    made = amended(lake, con, pin, source=source, changes=changes)
    return Change(pin, added=made.added, removed=made.removed)


def count(con: duckdb.DuckDBPyConnection, relation: str) -> int:
    """Return how many rows `relation` has, a name or a query in brackets."""
    row = con.execute(f"SELECT count(*) FROM {relation} AS counted").fetchone()
    return int(row[0]) if row else 0
