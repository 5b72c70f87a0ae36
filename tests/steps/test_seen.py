"""Ids that were seen: every file that holds one is found, whatever was merged, added or taken away since."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import duckdb

from dagster_project.contracts import EVENTS
from dagster_project.sql_words import literal
from dagster_project.steps.seen import Seen


@dataclass
class Pinned:
    table = EVENTS


def test_a_file_that_holds_an_id_is_found_while_it_is_there_and_no_longer(tmp_path: Path) -> None:
    random, seen, files = Random(1), Seen(), {}
    with duckdb.connect() as con:

        def write(name: str, ids: list[int]) -> None:
            file = str(tmp_path / name)
            field_id = EVENTS.column("event_id").field_id
            query = f"SELECT 'e' || id AS event_id FROM (SELECT unnest({ids}) AS id)"
            con.execute(f"COPY ({query}) TO {literal(file)} (FORMAT parquet, FIELD_IDS {{event_id: {field_id}}})")
            files[file] = set(ids)

        def hashes(ids: list[int]):  # type: ignore[no-untyped-def]
            return con.execute(f"SELECT hash('e' || id) AS h FROM (SELECT unnest({ids}) AS id) ORDER BY h").fetchnumpy()

        for number in range(12):
            write(f"{number}.parquet", random.sample(range(5_000), random.randint(1, 400)))
            if number % 4 == 3:  # as a compaction does
                one, other = sorted(files)[:2]
                write(f"merged{number}.parquet", sorted(files.pop(one) | files.pop(other)))
            seen.learn(con, Pinned(), files)  # type: ignore[arg-type]
            asked = random.sample(range(5_000), 30)
            arriving = hashes([*asked, *asked[:2]])["h"].astype("uint64")
            suspects, found = seen.suspects(arriving)
            assert found == tuple(sorted(file for file, ids in files.items() if ids & set(asked)))
            known = [*set(asked) & set().union(*files.values()), *asked[:2]]
            assert set(suspects.tolist()) == set(hashes(known)["h"].tolist())
        assert len(seen) < 2 * sum(map(len, files.values()))
