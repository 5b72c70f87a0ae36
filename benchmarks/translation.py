"""How long a translation takes: `python benchmarks/translation.py`. Prints median and 95th percentile per statement.

The statements are Athena's and Redshift's as people write them; with `../shared/corpora/athena_sql` also all of those.
"""

from __future__ import annotations

import json
import logging
import statistics
import time
from pathlib import Path

from dagster_project.dialects import Unsupported, translate

CORPUS = Path(__file__).parents[2] / "shared" / "corpora" / "athena_sql"
SCHEMA = {
    "notes.notes": {
        "note_id": "VARCHAR",
        "source": "VARCHAR",
        "title": "VARCHAR",
        "tags": "VARCHAR[]",
        "word_count": "BIGINT",
        "modified_at": "TIMESTAMP",
        "properties": "JSON",
    },
    "notes.events": {
        "event_id": "VARCHAR",
        "source": "VARCHAR",
        "type": "VARCHAR",
        "occurred_at": "TIMESTAMP",
        "payload": "JSON",
    },
}
STATEMENTS = (
    "SELECT source, count(*) AS notes, avg(word_count) AS words FROM notes.notes GROUP BY source ORDER BY notes DESC LIMIT 10",
    "SELECT tag, count(*) FROM notes.notes CROSS JOIN UNNEST(tags) AS t(tag) GROUP BY tag HAVING count(*) > 3",
    "SELECT date_trunc('week', modified_at) AS week, count_if(word_count > 1000) FROM notes.notes GROUP BY 1 ORDER BY 1",
    "SELECT json_extract_scalar(payload, '$.actor.name') AS actor, max_by(type, occurred_at) FROM notes.events GROUP BY 1",
    "SELECT title, array_join(transform(filter(tags, t -> length(t) > 2), t -> upper(t)), ', ') FROM notes.notes WHERE element_at(tags, 1) LIKE 'a%'",
    "WITH ranked AS (SELECT *, row_number() OVER (PARTITION BY source ORDER BY modified_at DESC) AS place FROM notes.notes) SELECT source, title FROM ranked WHERE place <= 3",
)


def timed(statements: list[str], repeat: int = 1) -> tuple[list[float], int]:
    """Return the milliseconds each translation took, and how many were refused."""
    times, refused = [], 0
    for sql in statements * repeat:
        start = time.perf_counter()
        try:
            translate(sql, "athena", SCHEMA)
        except Unsupported:
            refused += 1
        times.append((time.perf_counter() - start) * 1000)
    return times, refused


def main() -> None:
    """Print a row per set of statements."""
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    timed(list(STATEMENTS), 3)  # warm
    sets = {"as people write them": list(STATEMENTS) * 50}
    if CORPUS.is_dir():
        for file in sorted(CORPUS.glob("[atv]*.jsonl")):
            sets[file.stem] = [json.loads(line)["sql"] for line in file.read_text("utf-8").split("\n") if line][:600]
    print("| statements | number | refused | median ms | 95% ms |\n|---|---|---|---|---|")
    for name, statements in sets.items():
        times, refused = timed(statements)
        print(
            f"| {name} | {len(times)} | {refused} | {statistics.median(times):.2f} | {statistics.quantiles(times, n=20)[-1]:.2f} |"
        )


if __name__ == "__main__":
    main()
