"""The pages of docs/ that tell of other dialects: made by translating what they show, so that they hold.

`docs/build.py` writes them; nothing is stated here that the translator does not do when the page is made.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

from dagster_project.dialects import Unsupported, translate
from dagster_project.dialects.functions import AGGREGATES, FUNCTIONS
from dagster_project.dialects.redshift_functions import AGGREGATES as REDSHIFT_AGGREGATES
from dagster_project.dialects.redshift_functions import FUNCTIONS as REDSHIFT_FUNCTIONS

TOUR = Path(__file__).with_name("athena_tour.md")
"""Queries of Athena's documentation on the sample, with their answers: `athena_tour.py` writes it."""
FAMILIES = {
    "strings": "Texts, patterns, bytes",
    "maths": "Numbers and bits",
    "arrays": "Arrays and lambdas",
    "maps": "Maps",
    "json_functions": "JSON",
    "dates": "Dates and times",
    "conditions": "Conditions",
    "aggregates": "Aggregates and windows",
    "digests": "Estimates, exact of few values",
    "readable": "Sizes, durations, sounds",
    "addresses": "URLs and IP addresses",
    "presto": "Presto's own",
}

SCHEMA = {
    "web.requests": {
        "request_id": "INTEGER", "url": "VARCHAR", "status": "INTEGER", "bytes": "BIGINT", "at_time": "TIMESTAMP", "tags": "VARCHAR[]",
        "headers": "MAP(VARCHAR, VARCHAR)", "body": "VARCHAR", "took": "DOUBLE", "cost": "DECIMAL(10,2)",
    },
}  # fmt: skip
ROWS = """
CREATE SCHEMA web;
CREATE TABLE web.requests AS SELECT * FROM (VALUES
  (1, 'https://a.org/x?y=1', 200, 1200::BIGINT, TIMESTAMP '2026-05-10 12:34:56.789', ['new', 'web'], MAP {'host': 'a.org'}, '{"user": {"name": "Ada"}, "items": [3, 1]}', 0.25::DOUBLE, 1.50::DECIMAL(10,2)),
  (2, 'https://b.org/', 404, 10::BIGINT, TIMESTAMP '2026-05-11 00:00:01', ['web', NULL], MAP {'host': 'b.org', 'agent': 'cli'}, 'no json', 1.5::DOUBLE, 0.25::DECIMAL(10,2)),
  (3, 'https://a.org/z', 200, 7::BIGINT, TIMESTAMP '2026-06-01 08:00:00', []::VARCHAR[], MAP {}, NULL, NULL, NULL)
) AS t(request_id, url, status, bytes, at_time, tags, headers, body, took, cost)
"""

WORKS = (
    "SELECT status, count(*) AS n, sum(bytes) / count(*) AS mean FROM web.requests GROUP BY status ORDER BY n DESC",
    "SELECT request_id, tag FROM web.requests CROSS JOIN UNNEST(tags) AS t(tag) ORDER BY 1, 2",
    "SELECT request_id, n, tag FROM web.requests LEFT JOIN UNNEST(tags) WITH ORDINALITY AS t(tag, n) ON TRUE ORDER BY 1, 2",
    "SELECT json_extract_scalar(body, '$.user.name') AS name, json_array_length(json_extract(body, '$.items')) AS items FROM web.requests",
    "SELECT t.name, t.item FROM web.requests, JSON_TABLE(body, 'lax $' COLUMNS (name varchar PATH 'lax $.user.name', NESTED PATH 'lax $.items[*]' COLUMNS (item bigint PATH 'lax $'))) AS t",
    "SELECT json_query(body, 'lax $.items[*]?(@ > 1)' WITH ARRAY WRAPPER) AS large, j.user.name AS name FROM (SELECT body, TRY(json_parse(body)) AS j FROM web.requests) WHERE body IS NOT NULL",
    "SELECT date_trunc('month', at_time) AS month, date_diff('day', at_time, TIMESTAMP '2026-06-01 00:00:00') AS days FROM web.requests",
    "SELECT date_format(at_time, '%Y-%m-%d %H:%i') AS minute FROM web.requests WHERE at_time >= DATE '2026-05-11'",
    "SELECT transform(filter(tags, t -> t IS NOT NULL), t -> upper(t)) AS loud FROM web.requests",
    "SELECT element_at(headers, 'agent') AS agent, reduce(map_values(headers), 0, (s, v) -> s + length(v), s -> s) AS letters FROM web.requests",
    "SELECT regexp_extract(url, '^https?://([^/]+)', 1) AS host, url_extract_parameter(url, 'y') AS y FROM web.requests",
    "SELECT request_id, TRY(100 / (bytes - 10)) AS risky, row_number() OVER (PARTITION BY status ORDER BY bytes DESC) AS place FROM web.requests ORDER BY 1",
    "SELECT max_by(url, bytes) AS largest, listagg(CAST(status AS varchar), ', ') WITHIN GROUP (ORDER BY request_id) AS statuses FROM web.requests",
    "WITH s AS (SELECT status, avg(cost) AS mean FROM web.requests GROUP BY status) SELECT * FROM s WHERE mean IN (SELECT max(mean) FROM s)",
)

REFUSED = (
    "SELECT approx_distinct(url) FROM web.requests",
    "SELECT CAST(took AS varchar) FROM web.requests",
    "SELECT regexp_like(url, 'a(?=b)') FROM web.requests",
    "SELECT regexp_extract(url, '(x)?y', 1) FROM web.requests",
    "SELECT json_format(json_parse(body)) FROM web.requests",
    "SELECT TIMESTAMP '2026-05-10 12:34:56.123456789'",
    "SELECT status = '200' FROM web.requests",
    "SELECT * FROM web.requests TABLESAMPLE BERNOULLI (10)",
    "SELECT date_parse(body, '%h:%i') FROM web.requests",
    "SELECT * FROM web.requests MATCH_RECOGNIZE (PATTERN (a) DEFINE a AS true)",
    "CREATE TABLE t AS SELECT 1",
    "SELECT ST_Point(1, 2)",
)

ATHENA = """# Coming from Athena

Paste the query. It runs with the same answer, or it is refused with a reason and a way out, before anything is read.

```
notelake sql --dialect athena "SELECT source, count(*) FROM notes.notes GROUP BY 1"
notelake sql --dialect athena --explain "SELECT element_at(tags, 1) FROM notes.notes"
```

`--explain` shows the DuckDB SQL and runs nothing; `--dialect redshift` reads Redshift Spectrum's SQL, `partiql` the same with
its navigation (`FROM spectrum.customers c, c.orders o`). In Python: `translate(sql, "athena", schema).sql`, where `schema` maps
tables to columns and types. Names are those of the lake: `notes.notes`, or `awsdatacatalog.notes.notes`.

In a plain `duckdb lake.duckdb`, without the translator, functions of Athena's name stand in the schema `athena` and Redshift's in
`redshift`: `SET search_path = 'notes,athena'` chooses them, and none shadows a function of DuckDB before. They are listed in
[reference/views.md](reference/views.md).

## What works

SELECT with everything: joins, UNNEST, WITH RECURSIVE, windows, GROUPING SETS, set operations, subqueries; every type up to
`decimal(38, s)` and `timestamp(6)`; lambdas; TRY; JSON_VALUE, JSON_QUERY, JSON_EXISTS and JSON_TABLE with paths, filters and
defaults, `j.name[0].bigint()` of JSON; MATCH, UNIQUE, NEAREST, `CASE x WHEN IN (…)`, GROUP BY AUTO. All functions: [reference/dialects.md](reference/dialects.md). How right it
is, measured on statements with stated results: [reference/sql_score.md](reference/sql_score.md).

## Queries from Athena's documentation, on the sample

Pasted into `notelake sql --dialect athena` with the sample's names; the last three are refused, and say what to write instead.

"""
LAKE = """
## Snapshots, files, cost

```
notelake sql --dialect athena 'SELECT committed_at, operation FROM notes."notes$snapshots"'
notelake sql --dialect athena "SELECT count(*) FROM notes.notes FOR TIMESTAMP AS OF TIMESTAMP '2026-05-10 00:00:00 UTC'"
notelake sql --dialect athena 'SELECT "$path", count(*) FROM notes.notes GROUP BY 1'
notelake sql --dialect redshift "SELECT columnname, external_type FROM svv_external_columns WHERE tablename = 'notes'"
notelake sql --max-scan 10MB --format athena-csv --output result.csv "SELECT source, title FROM notes.notes"
```

- Each table of the lake has `$snapshots`, `$history`, `$refs`, `$manifests`, `$files` and `$partitions` beside it, in any shell, with
  Trino's columns; each is as it was when `lake.duckdb` was made. Redshift's `svv_external_schemas`, `svv_external_tables`,
  `svv_external_columns` and `svv_external_partitions` tell of the same tables ([reference/views.md](reference/views.md)).
- `FOR TIMESTAMP AS OF` and `FOR VERSION AS OF` (the number of a snapshot, or a branch or tag) read a table as it was, in the columns
  it had then, as long as the snapshot is kept; `"$path"`, `"$file_size"` and `"$file_modified_time"` (of Redshift `"$path"` and
  `"$size"`) tell of a row's file, and `*` does not show them. Both are of tables, not of views, and need `notelake sql`: a view cannot
  hide columns. `notes.at(instant)` shows notes as they stood in any shell.
- A query tells the rows it gave, its seconds, and the bytes it scanned as Athena bills them: compressed, of the columns and row
  groups its plan reads. It is the most it can read: LIMIT, and what a join finds while it runs, are not taken off, `count(*)` is 0,
  and a column of rows counts with all its fields. Athena rounds up to 10 MB a query; this does not. `--max-scan SIZE` refuses before
  anything is read. That holds for a lake in an object store
  too.
- `ops.queries` is the history, with the names of Athena's API; it is a file of JSON lines beside `lake.duckdb`, `queries.jsonl`.
- `--named NAME` runs a query of `sql/queries`; `--format athena-csv|csv|json|parquet --output FILE` writes the result. Athena's CSV
  quotes every value and leaves NULL empty; a timestamp has 6 digits, as those of Iceberg tables have.
"""
INSTEAD = """
## What is refused, and what to write instead

These are the translator's own words.

| statement | answer |
|---|---|
"""
KNOW = """
## What to know

- The session is in UTC, as Athena's are, whatever the zone of the shell is. A timestamp with time zone keeps the instant, and its
  zone as far as the statement tells it; a result shows it in the shell's zone.
- `/` of integers is an integer and of decimals a decimal, `max` passes over NaN, `ORDER BY` puts NULL last in both directions,
  `a[i]` beyond the end raises, `contains` of an array with NULL may be NULL: as in Athena, not as in DuckDB.
- What depends on the type of a column needs that type: the lake's are known; `translate` without a schema refuses where it matters.
- What raises in Athena raises here, with DuckDB's words around Athena's: *Could not convert string 'Division by zero'*.
- Functions that only newer Trino has than your Athena are translated too.
- A quotient of decimals has at least 6 digits, as in current Trino; older engines round to the digits of its operands. The
  command says so in a note; CAST to double where it matters.
- Patterns are RE2's: what it does not know is refused, and `\\w`, `\\d`, `\\s`, `\\b` mean ASCII.
- `SHOW TABLES`, `SHOW DATABASES`, `SHOW COLUMNS`, `SHOW CREATE VIEW`, `DESCRIBE table` and `EXPLAIN query` tell of what stands in the
  lake. DDL and INSERT are refused.
- Prepared statements are kept in `prepared.json` beside `lake.duckdb`: a lake is a workgroup. `?` takes a value with the type it is
  written with.
- `UNLOAD` writes PARQUET, JSON and TEXTFILE as Athena does, to a folder or to `s3://…`, with `compression`, `compression_level`,
  `field_delimiter` and `partitioned_by`; ORC and AVRO are refused. So are a target that is not empty, a type that Hive has not
  (timestamp with time zone), and in TEXTFILE a value that would not read back the same. `--dialect redshift` takes
  `UNLOAD ('…') TO '…' IAM_ROLE default FORMAT AS PARQUET|CSV|JSON PARTITION BY (…)` and its other options but FIXEDWIDTH, ENCRYPTED, BZIP2,
  MAXFILESIZE, ROWGROUPSIZE, CLEANPATH and MANIFEST VERBOSE.
- `$spectrum_oid` of Redshift Spectrum is refused: it is a number of Spectrum's own that nothing here has.
- The macros of a plain shell give what their examples say in DuckDB 1.5 and 2.0. In older shells some are not there: in 1.4 `array_join`
  and `listagg`; in 1.2 and 1.3 also `regexp_extract` of Athena and several-argument macros of Redshift (`btrim`, `sha2`,
  `json_extract_path_text`); before 1.2 those of dates too.
- A table without its schema is taken from the one schema that has it.
"""


def athena() -> str:
    """Return the page for a person who comes from Athena."""
    shown = "\n" + TOUR.read_text("utf-8")
    rows = "\n".join(f"| `{_cell(sql)}` | {_cell(_refusal(sql))} |" for sql in REFUSED)
    return f"{ATHENA}{shown}{LAKE}{INSTEAD}{rows}\n{KNOW}"


def _shown() -> str:
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.execute(ROWS)
        return "\n".join(_run(con, sql) for sql in WORKS)


def _run(con: duckdb.DuckDBPyConnection, sql: str) -> str:
    result = con.execute(translate(sql, "athena", SCHEMA).sql)
    names = [column[0] for column in result.description or ()]
    lines = [" | ".join(_value(value) for value in row) for row in result.fetchall()]
    body = "\n".join([" | ".join(names), *lines])
    return f"```sql\n{sql}\n```\n\n```\n{body}\n```\n"


def _value(value: object) -> str:
    return "NULL" if value is None else str(value)


def _refusal(sql: str) -> str:
    try:
        made = translate(sql, "athena", SCHEMA).sql
    except Unsupported as error:
        return str(error)
    raise AssertionError(f"{sql} is not refused any more, and became {made}. Take it out of this page.")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def functions() -> str:
    """Return the page of all functions that the translator gives."""
    parts = [
        "# Functions of other dialects\n\nGiven exactly, or not at all: every other function is refused by name.\n\n## Athena\n"
    ]
    for family, title in FAMILIES.items():
        rules = {name: rule for name, (rule, _, _) in FUNCTIONS.items() if rule.__module__.endswith(f".{family}")}
        rules |= {name: rule for name, rule in AGGREGATES.items() if rule.__module__.endswith(f".{family}")}
        parts.append(f"### {title}\n\n| function | gives |\n|---|---|")
        parts += sorted(_lines(rules.items()))
        parts.append("")
    redshift = {name: rule for name, (rule, _, _) in REDSHIFT_FUNCTIONS.items()} | dict(REDSHIFT_AGGREGATES)
    parts.append(f"## Shown\n\nEach of these was run when this page was made.\n\n{_shown()}")
    parts.append("## Redshift and PartiQL\n\n| function | gives |\n|---|---|")
    parts += sorted(_lines(redshift.items()))
    return "\n".join(parts)


def _lines(rules: Iterable[tuple[str, object]]) -> Iterator[str]:
    for name, rule in rules:
        told = (inspect.getdoc(rule) or "").partition("\n")[0].rstrip(".")
        yield f"| `{name}` | {_cell(told)} |"
