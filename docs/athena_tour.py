"""Ten queries as Athena's own documentation has them, on the sample lake, with what they answer: for docs/athena.md.

`python docs/athena_tour.py` brings the sample into a lake of its own, asks, and writes `athena_tour.md` beside this
file; `docs/build.py` puts that into the page. A test on a lake with the sample compares again.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
UG: Final = "https://docs.aws.amazon.com/athena/latest/ug"

QUERIES: Final = (
    (
        "Un-nest an array", "filtering-with-unnest.html",
        "SELECT tag, count(*) AS notes FROM notes.notes CROSS JOIN UNNEST(tags) AS t(tag) GROUP BY tag ORDER BY notes DESC, tag LIMIT 3",
    ),
    (
        "Read JSON", "extracting-data-from-JSON.html",
        "SELECT json_extract_scalar(properties, '$.room') AS room, count(*) AS notes FROM notes.notes WHERE json_extract(properties, '$.room') IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 3",
    ),
    (
        "Dates", "functions-env3.html",
        "SELECT date_format(date_trunc('day', occurred_at), '%Y-%m-%d') AS day, count(*) AS events FROM notes.events GROUP BY 1 ORDER BY 1 LIMIT 3",
    ),
    (
        "The longest of each", "functions-env3.html",
        "SELECT source, title, word_count FROM (SELECT source, title, word_count, row_number() OVER (PARTITION BY source ORDER BY word_count DESC, title) AS place FROM notes.notes) WHERE place = 1 ORDER BY source",
    ),
    (
        "Time travel", "querying-iceberg-time-travel-and-version-travel-queries.html",
        "SELECT count(*) AS notes FROM notes.notes FOR TIMESTAMP AS OF (current_timestamp)",
    ),
    (
        "The file of each row", "querying-iceberg-table-data.html",
        "SELECT source, count(DISTINCT \"$path\") AS files FROM notes.notes GROUP BY source ORDER BY source",
    ),
    (
        "What Iceberg knows", "querying-iceberg-table-metadata.html",
        "SELECT operation, count(*) AS snapshots, min(parent_id) IS NULL AS first FROM notes.\"tasks$snapshots\" GROUP BY operation",
    ),
    (
        "Prepared statements", "querying-with-prepared-statements.html",
        "PREPARE of_source FROM SELECT kind, count(*) AS notes FROM notes.notes WHERE source = ? AND word_count > ? GROUP BY kind",
    ),
    (
        "… run", "querying-with-prepared-statements.html",
        "EXECUTE of_source USING 'sessions', 10",
    ),
    (
        "Unload", "unload.html",
        "UNLOAD (SELECT title, word_count, source FROM notes.notes) TO 'unloaded/' WITH (format = 'PARQUET', compression = 'SNAPPY', partitioned_by = ARRAY['source'])",
    ),
    ("Tables", "show-tables.html", "SHOW TABLES IN notes 'link*|tag*'"),
    ("Columns", "describe-table.html", "DESCRIBE insights.tag_counts"),
    ("A view", "show-create-view.html", "SHOW CREATE VIEW insights.tag_counts"),
    ("Partitions", "show-partitions.html", "SHOW PARTITIONS notes.notes"),
    ("CTAS", "ctas-examples.html", "CREATE TABLE new_table AS SELECT * FROM notes.notes"),
    ("An estimate", "functions-env3.html", "SELECT approx_distinct(title) FROM notes.notes"),
)  # fmt: skip


def answers(lake: str, folder: Path) -> str:
    """Return the queries with their answers, as Markdown; what UNLOAD writes goes below `folder`."""
    from click.testing import CliRunner

    from dagster_project.cli import main

    shown, before = [], Path.cwd()
    os.chdir(folder)
    try:
        for title, page, sql in QUERIES:
            words = ["sql", "--lake", lake, "--dialect", "athena", "--format", "csv", sql]
            done = CliRunner().invoke(main, words, catch_exceptions=False)
            shown.append(f"{title} ([Athena]({UG}/{page})):\n\n```sql\n{sql}\n```\n\n```\n{_told(done)}\n```\n")
    finally:
        os.chdir(before)
    return "\n".join(shown)


def _told(done: object) -> str:
    """Return what was answered, or told of the rows that went away; not how long it took."""
    out, err = str(getattr(done, "stdout", "")).strip(), str(getattr(done, "stderr", "")).strip()
    if out:
        return out
    last = err.splitlines()[-1] if err else ""
    return last.partition(", ")[0] + " unloaded" if " scanned, in " in last else last


def main() -> None:
    """Write the answers."""
    with tempfile.TemporaryDirectory() as folder:
        lake = f"{folder}/lake"
        run = [str(Path(sys.executable).with_name("notelake")), "run", "--lake", lake]
        if subprocess.run(run, capture_output=True, check=False).returncode not in {0, 3}:
            raise SystemExit("The sample could not be brought into a lake.")
        (HERE / "athena_tour.md").write_text(answers(lake, Path(folder)), "utf-8")


if __name__ == "__main__":
    main()
