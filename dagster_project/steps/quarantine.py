"""What a person decides about refused units: so far, to give them up.

What belongs here: decisions written into `ops.quarantine`. What does not: refusing (`record`), listing (`terminal`).

A decision adds an instant and a reason to the row; it deletes nothing, neither there nor in raw. Only the data files
that hold a chosen row are written anew, in one commit that is planned again if another run was quicker.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from dagster_project.contracts import QUARANTINE
from dagster_project.errors import CommitConflict, UsageError
from dagster_project.lake.commit import Change, commit
from dagster_project.lake.lake import Lake
from dagster_project.lake.pins import Pin
from dagster_project.lake.read import relation, scan
from dagster_project.lake.staging import discard as drop_staged
from dagster_project.lake.staging import stage_query
from dagster_project.sql_words import identifier, literal
from dagster_project.steps.commit import retried


def discard(lake: Lake, source: str, *, why: str, rule: str | None = None, units: Sequence[str] = ()) -> int:
    """Give up the open refusals of `source`, of one `rule` and of `units` (unit or key) if given; return how many rows.

    Raises `UsageError` without a reason, or if one of `units` has no open refusal: then nothing is changed.
    `CommitConflict` after many attempts.
    """
    if not why.strip():
        raise UsageError("Nothing was discarded, for no reason was given. Say it with --why TEXT.")
    return retried(lambda: _discard_once(lake, source, why=why.strip(), rule=rule, units=units))


def _discard_once(lake: Lake, source: str, *, why: str, rule: str | None, units: Sequence[str]) -> int:
    pin = lake.pins([QUARANTINE.identifier])[QUARANTINE.identifier]
    paths = [file.file_path for file in lake.source_files(pin, source)]
    chosen = _chosen(source, rule, units)
    with lake.connect() as con:
        _refuse_unknown(con, pin, paths, _chosen(source, rule, ()), source, units)
        held = {path: rows for path in paths if (rows := _count(con, pin, path, chosen))}
        if not held:
            return 0
        given = {"discarded_at": f"TIMESTAMPTZ {literal(lake.clock().isoformat())}", "discarded_why": literal(why)}
        columns = ", ".join(
            f"CASE WHEN {chosen} THEN {given[name]} ELSE {name} END AS {name}" if name in given else identifier(name)
            for name in (column.name for column in QUARANTINE.columns)
        )
        query = f"SELECT {columns} FROM {scan(QUARANTINE.columns, list(held))} AS q ORDER BY unit"
        added = stage_query(lake, con, query, table=QUARANTINE, source=source)
    try:
        summary = {"notelake.source": source, "notelake.decision": "discard"}
        commit(lake, [Change(pin, added=added, removed=frozenset(held))], summary=summary)
    except CommitConflict:
        drop_staged(lake, added)
        raise
    return sum(held.values())


def _chosen(source: str, rule: str | None, units: Sequence[str]) -> str:
    """Return SQL that is true for the open rows that are meant, and never null.

    >>> _chosen("vault", None, ["it's"])
    "source = 'vault' AND released_at IS NULL AND discarded_at IS NULL AND (unit IN ('it''s') OR coalesce(key, unit) IN ('it''s'))"
    """  # noqa: E501  a doctest's answer is one line
    told = [f"source = {literal(source)}", "released_at IS NULL", "discarded_at IS NULL"]
    if rule is not None:
        told.append(f"rule = {literal(rule)}")
    if units:
        listed = ", ".join(map(literal, units))
        told.append(f"(unit IN ({listed}) OR coalesce(key, unit) IN ({listed}))")
    return " AND ".join(told)


def _count(con: duckdb.DuckDBPyConnection, pin: Pin, path: str, condition: str) -> int:
    row = con.execute(f"SELECT count(*) FROM {relation(pin, [path])} AS q WHERE {condition}").fetchone()
    return int(row[0]) if row else 0


def _refuse_unknown(
    con: duckdb.DuckDBPyConnection, pin: Pin, paths: Sequence[str], open_: str, source: str, units: Sequence[str]
) -> None:
    query = f"SELECT unit, key FROM {relation(pin, paths)} AS q WHERE {open_}"
    known = {name for row in con.execute(query).fetchall() for name in row} if units else set()
    if unknown := [unit for unit in units if unit not in known]:
        raise UsageError(
            f"{source}: {', '.join(unknown)} is not in quarantine, or is decided already; nothing was discarded. "
            f"`notelake quarantine list {source} --format csv` tells units and keys."
        )
